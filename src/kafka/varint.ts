/**
 * Zigzag numbers of 7 bits a byte, as Kafka and Avro both write them. Zigzag doubles what is not negative, and no value here is; times are
 * beyond 32 bits, hence divided and not shifted.
 */
export function sizeOfVarint(value: number): number {
  let size = 1
  for (let left = value * 2; left >= 0x80; left = Math.floor(left / 0x80)) size += 1
  return size
}

/** Gives the place behind it. */
export function writeVarint(bytes: Uint8Array, value: number, from: number): number {
  let at = from
  let left = value * 2
  for (; left >= 0x80; left = Math.floor(left / 0x80)) {
    bytes[at] = (left % 0x80) | 0x80
    at += 1
  }
  bytes[at] = left
  return at + 1
}
