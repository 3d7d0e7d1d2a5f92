import { isUtf8 } from 'node:buffer'

/** `<14>YYYY-MM-DD HH:MM:SS.mmm HOST TAG: JSON`, taken apart. */
export interface DevoLine {
  /** Epoch milliseconds. */
  readonly date: number
  readonly host: string
  readonly tag: string
  /** The JSON object as it stands in the line. */
  readonly json: string
  readonly event: Readonly<Record<string, unknown>>
}

const SHAPE = /^<14>(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (\S+) ([^ :]+): (\{.*\})$/su
const TAG = /^[a-z0-9_]+(\.[a-z0-9_]+){3,7}$/
const TAG_MAX_CHARACTERS = 1024

/** Takes a line (without its LF) apart, or tells what is wrong with it. Strict: exactly the form that the collector promises. */
export function parseDevoLine(bytes: Uint8Array): DevoLine | string {
  if (!isUtf8(bytes)) return 'not UTF-8'
  const [, date, host, tag, json] = SHAPE.exec(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()) ?? []
  if (date === undefined || host === undefined || tag === undefined || json === undefined) return 'not of the form <14>DATE HOST TAG: {JSON}'
  const iso = `${date.replace(' ', 'T')}Z`
  const time = Date.parse(iso)
  if (Number.isNaN(time) || new Date(time).toISOString() !== iso) return `no such date: ${date}`
  if (!TAG.test(tag) || tag.length > TAG_MAX_CHARACTERS) return `not a tag of 4 to 8 levels: ${tag.slice(0, 100)}`
  try {
    const event: unknown = JSON.parse(json)
    if (typeof event !== 'object' || event === null) return 'not a JSON object'
    return { date: time, host, tag, json, event: { ...event } }
  } catch (error) {
    return `not JSON: ${error instanceof Error ? error.message : String(error)}`
  }
}
