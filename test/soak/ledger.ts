import { eventsOf } from '../../src/pipeline/event.ts'
import type { Gap, Unit } from '../../src/pipeline/unit.ts'
import { parseCursor } from '../../src/buffers/embedded/cursor.ts'
import { parseDevoLine } from '../../src/simulator/devo-line.ts'
import type { DevoLink } from './devo-link.ts'
import type { BufferWitness } from './step-buffer.ts'
import { contentOf, keyOf, type ExpectedEvent } from './traffic.ts'

export interface Violation {
  readonly kind: string
  readonly text: string
  /** When the event that it is about was created, epoch milliseconds; null: it is about something else. */
  readonly createdAt: number | null
}

/** Service by the last part of its table. */
export type ServiceOfTag = (tag: string) => string

/**
 * Keeps account of every event on its way, and finds at once what may never happen: an event that is not one of ours or is altered, that enters
 * the buffer twice, that is sent again although its delivery was saved, or although nothing had happened to the connection that brought it.
 */
export class Ledger implements BufferWitness {
  readonly violations: Violation[] = []
  readonly gaps: (Gap & { readonly service: string })[] = []
  arrivals = 0
  doubles = 0
  readonly #expected: ReadonlyMap<string, ExpectedEvent>
  readonly #serviceOf: ServiceOfTag
  readonly #output: string
  readonly #linksOpened: () => number
  readonly #onGap: (gap: Gap) => void
  readonly #arrived = new Map<string, number>()
  /** By the input's id and the key. */
  #buffered = new Map<string, number>()
  /** Under each of them an event may come once. */
  readonly #ids = new Set<string>()
  /** Keys of what the API does not answer for, as the collector has told. */
  readonly #refused = new Set<string>()
  /** Keys by chunk, until it is committed. */
  #chunks = new Map<number, readonly string[]>()
  #lastChunk = 0
  /** How often each key was in a committed chunk, and the number of the last connection then. */
  #committed = new Map<string, { times: number; link: number }>()
  /** Connections after which nothing excuses sending an event again, for each key. */
  #sound = new Map<string, DevoLink[]>()
  /** For each life the sound connections of which something came again in a later life. */
  readonly #again = new Map<number, Set<number>>()

  constructor(expected: ReadonlyMap<string, ExpectedEvent>, { output, serviceOf, linksOpened, onGap }: {
    /** The name of the one whose cursor counts. */
    readonly output: string
    readonly serviceOf: ServiceOfTag
    readonly linksOpened: () => number
    readonly onGap: (gap: Gap) => void
  }) {
    this.#expected = expected
    this.#output = output
    this.#serviceOf = serviceOf
    this.#linksOpened = linksOpened
    this.#onGap = onGap
  }

  report(kind: string, text: string, key?: string): void {
    this.violations.push({ kind, text, createdAt: this.#expected.get(key ?? '')?.createdAt ?? null })
  }

  /** A process has opened the buffer, whose last chunk has this number. */
  opened(lastChunk: number): void {
    this.#lastChunk = lastChunk
  }

  /** The state is an older one, or none: what it does not know comes again. */
  stateWasLost(): void {
    this.#buffered = new Map()
    this.#committed = new Map()
    this.#chunks = new Map()
    this.#sound = new Map()
  }

  appending({ inputId, service, chunks, deadLetters, position }: Unit): () => void {
    const keys = chunks.map((chunk) => [...eventsOf(chunk)].map((event) => this.#identify(service, Buffer.from(event).toString(), 'buffer')))
    const refused = deadLetters.map((letter) => this.#identify(letter.service, Buffer.from(letter.event).toString(), 'dead letters'))
    return () => {
      this.#ids.add(inputId)
      for (const key of refused) this.#refused.add(key)
      for (const list of keys) {
        this.#lastChunk += 1
        this.#chunks.set(this.#lastChunk, list)
        for (const key of list) {
          const id = `${inputId} ${key}`
          const times = (this.#buffered.get(id) ?? 0) + 1
          this.#buffered.set(id, times)
          if (times === (this.#expected.get(key)?.copies ?? 0) + 1) this.report('twice in the buffer', key, key)
        }
      }
      for (const gap of position.gaps) {
        this.gaps.push({ ...gap, service })
        this.#onGap(gap)
      }
    }
  }

  committed(output: string, cursor: string): void {
    if (output !== this.#output) return
    const link = this.#linksOpened()
    for (const [chunk, keys] of this.#chunks) {
      if (chunk > parseCursor(cursor)) continue
      this.#chunks.delete(chunk)
      for (const key of keys) this.#committed.set(key, { times: (this.#committed.get(key)?.times ?? 0) + 1, link })
    }
  }

  received(lines: readonly Buffer[], link: DevoLink): void {
    for (const line of lines) {
      const parsed = parseDevoLine(line)
      if (typeof parsed === 'string') {
        this.report('malformed line', `${parsed}: ${line.toString('utf8', 0, 200)}`)
        continue
      }
      this.#arrive(this.#identify(this.#serviceOf(parsed.tag), parsed.json, 'Devo'), link)
    }
  }

  /** Events that have not arrived as often as they exist. */
  missing(): ExpectedEvent[] {
    return [...this.#expected.values()].filter(({ key, copies }) => (this.#arrived.get(key) ?? 0) < copies && !this.#refused.has(key))
  }

  isBuffered(key: string): boolean {
    return [...this.#ids].some((id) => (this.#buffered.get(`${id} ${key}`) ?? 0) >= (this.#expected.get(key)?.copies ?? 0))
  }

  /** A process that was killed has that many shipments proven and not saved at most. */
  checkKills(inFlight: number): void {
    for (const [life, links] of this.#again) {
      if (links.size > inFlight) this.report('sent again after a kill', `${links.size} shipments of life ${life} that were delivered came again, ${inFlight} were in flight`)
    }
  }

  #arrive(key: string, link: DevoLink): void {
    const copies = this.#copies(key)
    const times = (this.#arrived.get(key) ?? 0) + 1
    this.#arrived.set(key, times)
    this.arrivals += 1
    if (times > copies) this.doubles += 1
    const saved = this.#committed.get(key)
    if (saved !== undefined && saved.times >= copies && saved.link < link.number) this.report('sent again after it was saved', key, key)
    const before = this.#sound.get(key) ?? []
    if (times > copies) {
      for (const { life, number } of before) {
        if (life.number !== link.life.number) this.#again.set(life.number, (this.#again.get(life.number) ?? new Set()).add(number))
      }
    }
    // What becomes of it on the way back is seen by the time the next one comes.
    const sound = [...before.filter((other) => other.isPrompt || other === link), ...(link.isOrderly ? [link] : [])]
    this.#sound.set(key, sound)
    if (sound.filter(({ life }) => life === link.life).length > copies) this.report('sent again for no reason', `${key} on connection ${link.number}`, key)
  }

  /** How often it may be delivered. */
  #copies(key: string): number {
    return (this.#expected.get(key)?.copies ?? 0) * Math.max(1, this.#ids.size)
  }

  #identify(service: string, json: string, where: string): string {
    const parsed: unknown = JSON.parse(json)
    if (typeof parsed !== 'object' || parsed === null) throw new Error(`no event: ${json}`)
    const own = Object.fromEntries(Object.entries(parsed).filter(([name]) => !name.startsWith('@devo_')))
    const key = keyOf(service, own)
    const known = this.#expected.get(key)
    if (where === 'dead letters' && known !== undefined) return key
    if (known === undefined) this.report('unknown event', `${where}: ${json.slice(0, 200)}`, key)
    else if (known.content !== contentOf(own)) this.report('altered event', `${where}: ${json.slice(0, 200)}`, key)
    return key
  }
}
