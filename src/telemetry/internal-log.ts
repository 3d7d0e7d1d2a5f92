import type { Clock } from '../pipeline/clock.ts'
import { withCode } from '../pipeline/errors.ts'
import { Outbox } from './outbox.ts'

/** One line of the collector's own log on its way to Devo. */
export interface InternalEvent {
  /** Epoch milliseconds. */
  readonly time: number
  readonly level: InternalLevel
  readonly body: string
}

export type InternalLevel = 'info' | 'warning' | 'error'

/** What a line has that must never go where lines go: whoever sends them logs with it, or one failure would make the next event for ever. */
export const NOT_FOR_DEVO = { internal_events: true } as const

const LEVELS: Readonly<Record<string, InternalLevel>> = { info: 'info', warn: 'warning', error: 'error', fatal: 'error' }
/** So many lines at once, and so many a second from then on. */
const BURST = 300
const PER_SECOND = 2
const LONGEST_MESSAGE = 4_000

export interface InternalLogOptions {
  readonly collector: { readonly name: string; readonly version: string }
  /** Who gets the lines, by the outputs' names. */
  readonly outputs: readonly string[]
  readonly clock: Clock
}

/** Makes events of the log's lines from info on, as many as the rate allows, for outboxes of which none waits for another. */
export class InternalLog {
  readonly outboxes: ReadonlyMap<string, Outbox>
  readonly #collector: InternalLogOptions['collector']
  readonly #clock: Clock
  #tokens = BURST
  #filledAt: number
  #leftOut = 0

  constructor({ collector, outputs, clock }: InternalLogOptions) {
    this.#collector = collector
    this.#clock = clock
    this.#filledAt = clock.monotonic()
    const tellLost = (lost: number): InternalEvent => this.#event({ level: 'warning', msg: withCode(`Lines of the log that are missing before this one, for Devo did not take them for too long: ${lost}`, { code: 'LogLinesMissing' }) })
    this.outboxes = new Map(outputs.map((name) => [name, new Outbox(tellLost)]))
  }

  /** Takes a line of the log as it was written, without secrets. It returns at once and throws nothing. */
  readonly hear = (line: string): void => {
    const entry = parse(line)
    const level = entry === null ? undefined : LEVELS[String(entry.level)]
    if (entry === null || level === undefined || Object.keys(NOT_FOR_DEVO).some((mark) => mark in entry)) return
    if (!this.#mayPass()) {
      this.#leftOut += 1
      return
    }
    if (this.#leftOut > 0) this.#post({ level: 'warning', msg: withCode(`Lines that were too many at once and are only in the log itself: ${this.#leftOut}`, { code: 'LogLinesMissing' }) })
    this.#leftOut = 0
    this.#post({ ...originOf(entry), level, msg: String(entry.msg) })
  }

  #post(line: Line): void {
    const event = this.#event(line)
    for (const outbox of this.outboxes.values()) outbox.put(event)
  }

  #event({ level, msg, input = null, service = null, output = null }: Line): InternalEvent {
    const time = this.#clock.now()
    const body = {
      msg: msg.slice(0, LONGEST_MESSAGE),
      time: new Date(time).toISOString(),
      level,
      collector_name: this.#collector.name,
      collector_version: this.#collector.version,
      collector_image: null,
      input_name: input,
      service_name: service,
      module_name: output,
    }
    return { time, level, body: JSON.stringify(body) }
  }

  #mayPass(): boolean {
    const now = this.#clock.monotonic()
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#filledAt) / 1_000) * PER_SECOND)
    this.#filledAt = now
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}

interface Origin {
  readonly input?: string | null
  readonly service?: string | null
  readonly output?: string | null
}

interface Line extends Origin {
  readonly level: InternalLevel
  readonly msg: string
}

/** Lines name where they come from as `input` and `service`, or as `part: input/service`. */
function originOf({ input, service, part, output }: Readonly<Record<string, unknown>>): Origin {
  const [ofPart, serviceOfPart = null] = typeof part === 'string' ? part.split('/') : []
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)
  return { input: text(input) ?? ofPart ?? null, service: text(service) ?? serviceOfPart, output: text(output) }
}

function parse(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const parsed: unknown = JSON.parse(line)
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : null
  } catch {
    return null
  }
}
