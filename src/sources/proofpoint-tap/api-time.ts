const ISO_TIME = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$/

/**
 * A time as the API writes it, in its answers and in events: epoch milliseconds; null where it is none. Without an offset it is UTC, whatever the
 * zone of this machine. A leap second, which no clock of a computer counts, is the last millisecond of the minute that it ends.
 */
export function parseApiTime(text: string): number | null {
  const match = ISO_TIME.exec(text)
  if (match === null) return null
  const [, date = '', minute = '', second = '00', fraction = '', offset = 'Z'] = match
  const time = Date.parse(`${date}T${minute}:${second === '60' ? '59.999' : `${second}${fraction}`}${offset}`)
  return Number.isNaN(time) ? null : time
}
