import type { Cursor } from '../../pipeline/buffer.ts'

/** The next offset of each partition. Offsets are far below 2^53. */
export type Offsets = ReadonlyMap<number, number>

/** `{"0":12,"3":5}`, partitions ascending. */
export function cursorOf(offsets: Offsets): Cursor {
  return JSON.stringify(vectorOf(offsets))
}

/** Throws on anything but a cursor of `cursorOf`: the caller has mixed up buffers. */
export function parseCursor(cursor: Cursor): Map<number, number> {
  const parsed: unknown = JSON.parse(cursor)
  if (typeof parsed !== 'object' || parsed === null) throw new TypeError(`${cursor} is not a cursor of the Kafka buffer`)
  return offsetsOf(parsed)
}

export function vectorOf(offsets: Offsets): Record<string, number> {
  return Object.fromEntries([...offsets].sort(([a], [b]) => a - b).map(([partition, offset]) => [String(partition), offset]))
}

export function offsetsOf(vector: object): Map<number, number> {
  return new Map(
    Object.entries(vector).map(([partition, offset]) => {
      if (!Number.isSafeInteger(offset)) throw new TypeError(`${String(offset)} is not an offset`)
      return [Number(partition), Number(offset)]
    }),
  )
}
