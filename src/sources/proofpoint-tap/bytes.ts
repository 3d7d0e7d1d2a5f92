/** The bytes that JSON is made of, and the quick searches over them. All work on plain `Uint8Array`s, so that the engine sees one type only. */
const TAB = 0x09
export const NEWLINE = 0x0a
const CARRIAGE_RETURN = 0x0d
export const SPACE = 0x20
export const QUOTE = 0x22
export const COMMA = 0x2c
export const ZERO = 0x30
export const COLON = 0x3a
export const OPEN_BRACKET = 0x5b
export const BACKSLASH = 0x5c
export const CLOSE_BRACKET = 0x5d
export const OPEN_BRACE = 0x7b
export const CLOSE_BRACE = 0x7d

/** A byte that the caller knows to be there. Reading behind the end gives 0, which JSON has no use for, but costs speed. */
export function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0
}

/** The same for a table of numbers. */
export function intAt(numbers: Int32Array, index: number): number {
  return numbers[index] ?? 0
}

export function isWhiteSpace(byte: number): boolean {
  return byte === SPACE || byte === NEWLINE || byte === CARRIAGE_RETURN || byte === TAB
}

/** A plain view of the same bytes: a Node `Buffer` is another type to the engine, and mixing both makes every access slower. */
export function plainView(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes
  return buffer instanceof ArrayBuffer ? new Uint8Array(buffer, bytes.byteOffset, bytes.byteLength) : Uint8Array.from(bytes)
}

export function dataView(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * Index of the first byte in [from, limit) that ends the plain run of a string: a quote, a backslash or a control character; `limit` where
 * there is none. Four bytes at a time: in `t - 0x21..` a byte's high bit comes up where `byte ^ 2` is below 0x21, which holds for the control
 * characters and the quote alone; the lowest flag set is always a true one.
 */
export function endOfPlainRun(view: DataView, from: number, limit: number): number {
  let index = from
  const lastWord = limit - 4
  while (index <= lastWord) {
    const word = view.getInt32(index, true)
    const quoteOrControl = word ^ 0x02020202
    const backslash = word ^ 0x5c5c5c5c
    const flags = (((quoteOrControl - 0x21212121) & ~quoteOrControl) | ((backslash - 0x01010101) & ~backslash)) & 0x80808080
    if (flags !== 0) return index + ((31 - Math.clz32(flags & -flags)) >> 3)
    index += 4
  }
  while (index < limit) {
    const byte = view.getUint8(index)
    if (byte === QUOTE || byte === BACKSLASH || byte < SPACE) return index
    index += 1
  }
  return limit
}

/** From this length on the engine's own copy is quicker than eight bytes at a time. */
const LONG_COPY = 160

/** Copies [from, to) of one view to `target` at `at`; returns the index behind it. */
export function copyBytes(bytes: Uint8Array, view: DataView, from: number, to: number, target: Uint8Array, targetView: DataView, at: number): number {
  const end = at + to - from
  if (to - from >= LONG_COPY) {
    target.set(bytes.subarray(from, to), at)
    return end
  }
  let source = from
  let index = at
  const lastWord = to - 8
  if (source <= lastWord) {
    while (source < lastWord) {
      targetView.setBigUint64(index, view.getBigUint64(source, true), true)
      source += 8
      index += 8
    }
    // The last word overlaps the one before, which spares the odd bytes.
    targetView.setBigUint64(end - 8, view.getBigUint64(lastWord, true), true)
    return end
  }
  while (source < to) {
    target[index] = byteAt(bytes, source)
    source += 1
    index += 1
  }
  return end
}

/** The start of hostile or unknown bytes for a message: shortened, control characters escaped. */
export function excerpt(bytes: Uint8Array, maxBytes = 80): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, maxBytes)).toString('utf8')
  // JSON.stringify leaves DEL and the C1 controls as they are; a terminal would obey them.
  const escaped = JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return bytes.byteLength > maxBytes ? `${escaped} ...` : escaped
}
