import { jsonBody } from '../../src/simulator/tap-body.ts'
import { TAP_ARRAYS, TAP_ENDPOINTS } from '../../src/simulator/tap-api.ts'
import type { TapArray } from '../../src/simulator/tap-api.ts'
import type { TapModel } from '../../src/simulator/tap-model.ts'
import type { TapEvent } from '../../src/simulator/tap-store.ts'

/** An event's own JSON as it must arrive, with its service before it. */
export type Text = string

export interface Difference {
  /** Events (each as often as it is missing), and those that came more often than they should, or that nobody sent. */
  readonly missing: readonly Text[]
  readonly surplus: readonly Text[]
}

const LINE = /^<14>(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\.\d{3}) (\S+) mail\.proofpoint\.(\w+\.\w+): (\{.*\})$/s
const ADDED = /(?:,|(?<=^\{))"@devo_pulling_id":"(\d{13})"(?:,"@devo_environment":"[^"]*")?\}$/
const KINDS = new Map<string, TapArray | 'threats'>([
  ...TAP_ARRAYS.map((service) => [`tapsiem_v2.${service.toLowerCase()}`, service] as const),
  ['tap_threats.events', 'threats'],
])

export interface ParsedLine {
  /** The time in the line, epoch milliseconds. */
  readonly time: number
  readonly host: string
  readonly service: TapArray | 'threats'
  readonly json: string
  /** Of the member that was added; null where the event has brought its own. */
  readonly pullingId: number | null
  readonly text: Text
}

/** One line on the wire to Devo, without its LF. Throws where it has another form: there is no other. */
export function parseLine(line: string): ParsedLine {
  const match = LINE.exec(line)
  const [, day = '', time = '', host = '', table = '', json = ''] = match ?? []
  const service = KINDS.get(table)
  if (service === undefined || line.includes('\n')) throw new Error(`not a line as Devo expects it: ${line.slice(0, 300)}`)
  const added = ADDED.exec(json)
  return { time: Date.parse(`${day}T${time}Z`), host, service, json, pullingId: added === null ? null : Number(added[1]), text: `${service} ${withoutAdded(json)}` }
}

/** The event as Proofpoint sent it. */
export function withoutAdded(json: string): string {
  return json.replace(ADDED, '}')
}

/** What must arrive of an event: the simulator's own bytes, white space between tokens taken out. Only for events whose lists are not shuffled. */
export function textOf(event: TapEvent): Text {
  const [before, after] = [`{"queryEndTime":"","${event.service}":[`, ']}']
  const body = jsonBody({
    queryEndTime: '', queryEndLast: false, arrays: [[event.service, { length: 1, at: () => event }]], matches: () => true, orderSeed: null, trailing: '',
  })
  const json = Buffer.concat([...body]).toString()
  const own = json.slice(before.length, json.length - after.length)
  return `${event.service} ${own.includes('\n') ? own.replaceAll(/("(?:\\.|[^"\\])*")|\s+/g, '$1') : own}`
}

/** Every event that the API has shown in an answer with status 200, once each: what a collector must have delivered when it has nothing left to do. */
export function shownEvents(model: TapModel): TapEvent[] {
  return TAP_ARRAYS.flatMap((service) => {
    const asked = model.log.entries.filter(({ path, status, window }) => status === 200 && window !== null && (TAP_ENDPOINTS[path]?.arrays.includes(service) ?? false))
    const windows = asked.map(({ window, time }) => ({ from: window?.from ?? 0, to: window?.to ?? 0, time }))
    const from = Math.min(...windows.map((window) => window.from))
    const to = Math.max(...windows.map((window) => window.to))
    if (windows.length === 0) return []
    const slots = model.events.select(service, from, to, Infinity)
    return Array.from({ length: slots.length }, (_, index) => slots.at(index)).filter(
      (event): event is TapEvent =>
        event !== null && windows.some((window) => event.createdAt >= window.from && event.createdAt <= window.to && (event.visibleAt ?? 0) <= window.time),
    )
  })
}

/** What has arrived, and what of the expected has not: both as multisets, kept up to date line by line. */
export class Arrivals {
  readonly #received = new Map<Text, number>()
  readonly #expected = new Map<Text, number>()
  #missing = 0
  #total = 0

  get total(): number {
    return this.#total
  }

  /** Of the expected events. */
  get missing(): number {
    return this.#missing
  }

  add(text: Text): void {
    const before = this.#received.get(text) ?? 0
    this.#received.set(text, before + 1)
    this.#total += 1
    if (before < (this.#expected.get(text) ?? 0)) this.#missing -= 1
  }

  countOf(text: Text): number {
    return this.#received.get(text) ?? 0
  }

  /** Replaces what was expected before. */
  expect(texts: Iterable<Text>): void {
    this.#expected.clear()
    for (const text of texts) this.#expected.set(text, (this.#expected.get(text) ?? 0) + 1)
    this.#missing = 0
    for (const [text, wanted] of this.#expected) this.#missing += Math.max(0, wanted - (this.#received.get(text) ?? 0))
  }

  difference(): Difference {
    const missing: Text[] = []
    const surplus: Text[] = []
    for (const [text, wanted] of this.#expected) for (let has = this.countOf(text); has < wanted; has += 1) missing.push(text)
    for (const [text, count] of this.#received) for (let has = count; has > (this.#expected.get(text) ?? 0); has -= 1) surplus.push(text)
    return { missing, surplus }
  }
}
