import { pipeline } from 'node:stream/promises'
import type { Logger } from 'pino'
import { retryBackoff } from './backoff.ts'
import { loadOrStart } from './beginning.ts'
import { BufferFullError, type EventBuffer } from './buffer.ts'
import type { Clock } from './clock.ts'
import type { Conditions } from './conditions.ts'
import type { Counters } from './counters.ts'
import { describeError, RetryableError } from './errors.ts'
import { FirstAndSum } from './first-and-sum.ts'
import { takeFeed, type HeldFeed } from './feed.ts'
import type { Source, SourceService } from './source.ts'
import type { DeadLetter, Unit, Window } from './unit.ts'

export interface CollectOptions {
  readonly source: Source
  readonly service: SourceService
  readonly buffer: EventBuffer
  readonly clock: Clock
  readonly log: Logger
  readonly conditions: Conditions
  readonly counters: Counters
  readonly signal: AbortSignal
  readonly once: boolean
}

/** How long a window is held open for room in the buffer. Given up, it must be asked for again from its start, and requests are scarce. */
const HOLD_MS = 60_000
const LOOK_AGAIN_MS = 500

/**
 * The first hop: one service's units into the buffer, until the signal aborts or, with `once`, all that is due is in.
 * It has a single way back from any failure: the outcome of an append is unknown, so the durable state is loaded again and the
 * source goes on from what that says. With `once` it throws what the source cannot mend (login refused); otherwise it waits for ever.
 */
export async function collect(options: CollectOptions): Promise<void> {
  const undeliverable = new FirstAndSum<Undeliverable>(options.clock, (example, events) => tellUndeliverable(options, example, events))
  try {
    await collectAll(options, undeliverable)
  } finally {
    undeliverable.close()
  }
}

async function collectAll(options: CollectOptions, undeliverable: FirstAndSum<Undeliverable>): Promise<void> {
  const { source, service, buffer, clock, counters, signal, once } = options
  const backoff = retryBackoff()
  const waiting = new BufferWait(options)
  const stopped = (): boolean => signal.aborted
  while (!stopped()) {
    let feed: HeldFeed | null = null
    try {
      await waiting.forRoom(Infinity)
      const { state, elsewhere } = await loadOrStart(options)
      feed = service.follows === undefined ? null : await takeFeed(buffer, service.follows, signal)
      if (feed !== null) tellMissed(options, feed)
      const over = feed === null ? signal : AbortSignal.any([signal, feed.ended])
      await pipeline(
        source.units(service.name, state, { signal: over, once, elsewhere, ...(feed !== null && { events: feed }) }),
        async (units: AsyncIterable<Unit>) => {
          for await (const unit of units) {
            await waiting.forRoom(HOLD_MS)
            await buffer.append(unit)
            // Not with the unit: what is then read again is known by its fingerprints.
            if (unit.readTo !== undefined) await feed?.commit(unit.readTo)
            if (unit.deadLetters.length > 0) counters.add('dead_letters_total', { output: '', reason: 'malformed' }, unit.deadLetters.length)
            undeliverable.add(unit.deadLetters.map((letter) => ({ letter, window: unit.window })))
            backoff.reset()
            waiting.isOver()
          }
        },
        { signal: over },
      )
      return
    } catch (failure) {
      if (stopped()) return
      const error: unknown = feed?.ended.aborted === true ? feed.ended.reason : failure
      if (!(error instanceof RetryableError)) throw error
      if (once && !(error instanceof BufferFullError)) throw error
      waiting.because(error)
      await clock.sleep(backoff.next(), signal).catch(() => undefined)
    } finally {
      await feed?.release()
    }
  }
}

/** One service's waits for the buffer. The source tells its own waits elsewhere, for it reads one window ahead. */
class BufferWait {
  readonly #options: CollectOptions
  readonly #service: string
  #told: string | null = null

  constructor(options: CollectOptions) {
    this.#options = options
    this.#service = `${options.source.name}/${options.service.name}`
  }

  /** Waits until delivered events, or a person, have made room; looking costs no request. Throws BufferFullError after `longestMs`. */
  async forRoom(longestMs: number): Promise<void> {
    const { buffer, clock, signal } = this.#options
    const since = clock.monotonic()
    for (;;) {
      try {
        await buffer.assertRoom(this.#options.service.follows !== undefined)
        return
      } catch (error) {
        if (!(error instanceof BufferFullError) || clock.monotonic() - since > longestMs) throw error
        this.because(error)
        await clock.sleep(LOOK_AGAIN_MS, signal)
      }
    }
  }

  /** In the log once for each kind of error, for its numbers change with every look; the conditions have the latest. */
  because(error: RetryableError): void {
    const reason = describeError(error)
    this.#options.conditions.set(this.#part, reason, { code: 'FetchingWaits', err: error })
    const level = this.#told === error.name ? 'debug' : 'error'
    this.#told = error.name
    this.#options.log[level]({ code: 'FetchingWaits', part: this.#service, err: error }, `Fetching waits: ${reason}. Nothing is lost; it goes on by itself`)
  }

  isOver(): void {
    if (this.#told === null) return
    this.#told = null
    this.#options.conditions.clear(this.#part)
    this.#options.log.info({ part: this.#service }, 'The buffer takes events again')
  }

  get #part(): string {
    return `${this.#service}/buffer`
  }
}

function tellMissed({ source, service, log }: CollectOptions, { missedEvents }: HeldFeed): void {
  if (missedEvents === 0) return
  const part = `${source.name}/${service.name}`
  log.error({ code: 'ServiceMissedEvents', part, missedEvents }, `${part} was off, or behind, for so long that ${missedEvents} events are gone from the buffer that it had not yet looked at`)
}

interface Undeliverable {
  readonly letter: DeadLetter
  readonly window: Window
}

function tellUndeliverable({ source, service, log }: CollectOptions, { letter: { reason, size }, window }: Undeliverable, events: number): void {
  const part = `${source.name}/${service.name}`
  const what = events === 1 ? `An event of ${part} cannot be delivered and is kept as a dead letter` : `${events} events of ${part} cannot be delivered and are kept as dead letters, the first of them`
  log.error({ code: 'EventUndeliverable', part, reason, size, events, from: new Date(window.from).toISOString(), to: new Date(window.to).toISOString() }, `${what}: ${reason}`)
}
