import type { Cursor } from '../../pipeline/buffer.ts'

/** The cursor of this buffer is the number of the last chunk read, in decimal; `0` lies before the first. */
export function cursorOf(chunk: number): Cursor {
  return String(chunk)
}

export function parseCursor(cursor: Cursor): number {
  const chunk = /^\d+$/.test(cursor) ? Number(cursor) : NaN
  if (!Number.isSafeInteger(chunk)) throw new Error(`${JSON.stringify(cursor)} is not a cursor of the embedded buffer`)
  return chunk
}
