import { DAY_MS, HOUR_MS, MINUTE_MS, Refusal, SECOND_MS } from './tap-api.ts'

export interface TapWindow {
  /** Epoch milliseconds. */
  readonly from: number
  readonly to: number
}

const SHORTEST_MS = 30 * SECOND_MS
const LONGEST_MS = HOUR_MS
const HORIZON_MS = 7 * DAY_MS

const TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d)(?::?(\d\d))?)$/
const DURATION = /^P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/

/**
 * The window that a request asks for. Throws Refusal (400) as the API does: the texts on too short, too far back and still current are
 * those seen live; the others are of the same make. Fractions of a second are taken and cut off, for `queryEndTime` has none.
 */
export function readWindow(parameters: URLSearchParams, now: number): TapWindow {
  const named = ['interval', 'sinceTime', 'sinceSeconds'].filter((name) => parameters.has(name))
  const name = named[0]
  if (name === undefined) throw new Refusal(400, 'One of the parameters interval, sinceTime or sinceSeconds is required.')
  const values = parameters.getAll(name)
  const text = values[0] ?? ''
  if (named.length > 1 || values.length > 1) {
    throw new Refusal(400, 'Only one of the parameters interval, sinceTime and sinceSeconds may be given, and only once.')
  }
  const window = name === 'interval' ? readInterval(text) : readSince(name, text, now)
  const length = window.to - window.from
  if (length < SHORTEST_MS) throw new Refusal(400, 'The requested interval is too short. Requests must be for at least 30.00s of data')
  if (length > LONGEST_MS) throw new Refusal(400, 'The requested interval is too long. Requests must be for at most 1.00h of data')
  if (window.from < now - HORIZON_MS) {
    throw new Refusal(400, 'The requested start time is too far into the past. Requests for information up to 7.00d are accepted')
  }
  if (name === 'interval' && window.to > now) throw new Refusal(400, 'The requested interval is still current.')
  return window
}

function readSince(name: string, text: string, now: number): TapWindow {
  const to = Math.round(now / MINUTE_MS) * MINUTE_MS
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : null
  const from = name === 'sinceTime' ? readTime(text) : seconds === null ? null : to - seconds * SECOND_MS
  if (from === null) throw new Refusal(400, `The parameter ${name} is malformed.`)
  return { from, to }
}

function readInterval(text: string): TapWindow {
  const [first = '', second = '', ...rest] = text.split('/')
  const start = readTime(first)
  const end = readTime(second)
  if (rest.length === 0) {
    if (start !== null && end !== null) return { from: start, to: end }
    const before = readDuration(first)
    if (before !== null && end !== null) return { from: end - before, to: end }
    const after = readDuration(second)
    if (start !== null && after !== null) return { from: start, to: start + after }
  }
  throw new Refusal(400, 'The parameter interval is malformed. An ISO 8601 interval is expected.')
}

/** ISO 8601 with seconds and an offset, as epoch milliseconds of the whole second; null where it is something else. */
function readTime(text: string): number | null {
  const match = TIME.exec(text)
  if (match === null) return null
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number)
  const time = new Date(Date.UTC(year, month - 1, day, hour, minute, second))
  const written = [time.getUTCMonth() + 1, time.getUTCDate(), time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds()]
  if (written.join() !== [month, day, hour, minute, second].join()) return null
  const offset = Number(match[9] ?? 0) * HOUR_MS + Number(match[10] ?? 0) * MINUTE_MS
  return time.getTime() - (match[8] === '-' ? -offset : offset)
}

function readDuration(text: string): number | null {
  const match = DURATION.exec(text)
  if (match === null) return null
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1).map((digits) => Number(digits || 0))
  return days * DAY_MS + hours * HOUR_MS + minutes * MINUTE_MS + seconds * SECOND_MS
}
