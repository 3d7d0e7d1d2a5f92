import { pipeline } from 'node:stream/promises'
import type { Logger } from 'pino'
import { retryBackoff } from './backoff.ts'
import { BufferFullError, type EventBuffer } from './buffer.ts'
import type { Clock } from './clock.ts'
import type { Conditions } from './conditions.ts'
import type { Counters } from './counters.ts'
import { describeError, RetryableError } from './errors.ts'
import type { Source, SourceService } from './source.ts'
import type { ServiceState, Unit } from './unit.ts'

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
  const { source, service, buffer, clock, log, conditions, signal, once } = options
  const part = `${source.name}/${service.name}`
  const backoff = retryBackoff()
  const stopped = (): boolean => signal.aborted
  while (!stopped()) {
    try {
      await buffer.assertRoom()
      const state = await loadOrStart(options)
      await pipeline(
        source.units(service.name, state, { signal, once }),
        async (units: AsyncIterable<Unit>) => {
          for await (const unit of units) {
            const hasWaited = await waitForRoom(options, part)
            await buffer.append(unit)
            tellDeadLetters(options, unit)
            if (!hasWaited && backoff.failures === 0) continue
            backoff.reset()
            conditions.clear(part)
            log.info({ part }, 'The buffer takes events again')
          }
        },
        { signal },
      )
      return
    } catch (error) {
      if (stopped()) return
      if (!(error instanceof RetryableError)) throw error
      if (once && !(error instanceof BufferFullError)) throw error
      tellWaiting(options, part, error)
      await clock.sleep(backoff.next(), signal).catch(() => undefined)
    }
  }
}

/** Holds the window open while delivered events make room; true where it had to. Throws BufferFullError when that takes too long. */
async function waitForRoom(options: CollectOptions, part: string): Promise<boolean> {
  const { buffer, clock, signal } = options
  const since = clock.monotonic()
  for (let tries = 0; ; tries += 1) {
    try {
      await buffer.assertRoom()
      return tries > 0
    } catch (error) {
      if (!(error instanceof BufferFullError) || clock.monotonic() - since > HOLD_MS) throw error
      tellWaiting(options, part, error)
      await clock.sleep(LOOK_AGAIN_MS, signal)
    }
  }
}

function tellWaiting({ conditions, log }: CollectOptions, part: string, error: RetryableError): void {
  const reason = describeError(error)
  if (conditions.set(part, reason)) log.error({ part, err: error }, `Fetching waits: ${reason}. Nothing is lost; it goes on by itself`)
}

/** A first start and a changed start time begin at the user's time; otherwise the saved state counts. */
async function loadOrStart({ source, service, buffer, log }: CollectOptions): Promise<ServiceState> {
  const saved = await buffer.loadService(source.inputId, service.name)
  const changed = saved !== null && service.startTime !== null && service.startTime !== saved.startTime
  if (saved !== null && !changed) return saved
  const settled = service.startTime ?? source.serverTime()
  const from = new Date(settled).toISOString()
  log.info(
    { service: service.name },
    changed ? `start_time_in_utc_format has changed: starting again from ${from}` : `First start, from ${from}`,
  )
  await buffer.startService(source.inputId, service.name, settled, service.startTime)
  return { settled, readAt: saved?.readAt ?? 0, holes: [], seen: [], startTime: service.startTime }
}

function tellDeadLetters({ source, service, log, counters }: CollectOptions, { deadLetters, window }: Unit): void {
  const part = `${source.name}/${service.name}`
  for (const { reason, size } of deadLetters) {
    counters.add('dead_letters_total', { input: source.name, service: service.name, reason: 'malformed' })
    log.error(
      { part, reason, size, from: new Date(window.from).toISOString(), to: new Date(window.to).toISOString() },
      `An event of ${part} cannot be delivered and is kept as a dead letter: ${reason}`,
    )
  }
}
