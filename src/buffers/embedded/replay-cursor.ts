import type { Cursor } from '../../pipeline/buffer.ts'

/** Behind a chunk, and behind so many events of the next one: a replay that is held back sends less than a chunk at once. */
export interface ReplayPlace {
  readonly chunk: number
  readonly events: number
}

/** `12` or `12+40`. */
export function replayCursor({ chunk, events }: ReplayPlace): Cursor {
  return events === 0 ? String(chunk) : `${chunk}+${events}`
}

/** Throws on anything else. */
export function parseReplayCursor(cursor: Cursor): ReplayPlace {
  const [, chunk, events = '0'] = /^(\d{1,15})(?:\+(\d{1,9}))?$/.exec(cursor) ?? []
  if (chunk === undefined) throw new Error(`${JSON.stringify(cursor)} is no place in the embedded buffer`)
  return { chunk: Number(chunk), events: Number(events) }
}
