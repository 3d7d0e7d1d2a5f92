import { parseApiTime } from './api-time.ts'

/** When the click was made or the message was sent; neither has both. */
const FIELDS = ['clickTime', 'messageTime'] as const

/** The event's own time, epoch milliseconds; null where it tells none that can be read. */
export function eventTime(event: Uint8Array): number | null {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(event.buffer, event.byteOffset, event.byteLength).toString())
    if (typeof parsed !== 'object' || parsed === null) return null
    const fields = new Map<string, unknown>(Object.entries(parsed))
    for (const field of FIELDS) {
      const value = fields.get(field)
      const time = typeof value === 'string' ? parseApiTime(value) : null
      if (time !== null) return time
    }
    return null
  } catch {
    return null
  }
}
