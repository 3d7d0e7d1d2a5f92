import type { Logger } from 'pino'
import { retryBackoff } from './backoff.ts'
import type { EventBuffer, OutputShare, OutputStart } from './buffer.ts'
import type { Clock } from './clock.ts'
import { collect } from './collect.ts'
import type { Conditions } from './conditions.ts'
import type { Counters } from './counters.ts'
import { deliver } from './deliver.ts'
import { describeError, RetryableError } from './errors.ts'
import { ownInputsSoon } from './own-inputs.ts'
import type { Sink } from './sink.ts'
import type { Source, SourceService } from './source.ts'
import type { Transform } from './transform.ts'

export interface Output {
  readonly name: string
  readonly sink: Sink
  readonly transforms: readonly Transform[]
  readonly shipmentsInFlight: number
  readonly maxShipmentEvents: number
  readonly maxShipmentBytes: number
  readonly startFrom: 'now' | 'oldest'
}

export interface SupervisorOptions {
  readonly sources: readonly Source[]
  readonly outputs: readonly Output[]
  readonly buffer: EventBuffer
  readonly clock: Clock
  readonly log: Logger
  readonly conditions: Conditions
  readonly counters: Counters
  /** The first signal: finish what is in flight and leave. */
  readonly stop: AbortSignal
  /** Collect what is due, deliver it, end. */
  readonly once: boolean
}

/** The condition of a collector that waits for another one to go; it is no fault. */
export const STANDBY = 'standby'
/** How long shipments in flight may take to be proven after a stop; what is not proven then comes again after the restart. */
const GRACE_MS = 5_000

/**
 * Runs every service and every output side by side, each at its own pace.
 *
 *   running ──stop──▶ stopping (fetching ends at once, shipments get 5 s) ──▶ ended
 *      ├──once: all services have read what is due──▶ draining ──all delivered──▶ ended
 *      └──an error that nothing mends──▶ stopping ──▶ throws it
 *
 * The caller owns buffer, sources and sinks, and closes them afterwards.
 */
export async function supervise(options: SupervisorOptions): Promise<void> {
  const { outputs, clock, log, once } = options
  const failed = new AbortController()
  const drained = new AbortController()
  const given = new AbortController()
  const stop = AbortSignal.any([options.stop, failed.signal])

  if (!(await openOutputs(options))) return
  let cancelGrace = (): void => undefined
  stop.addEventListener(
    'abort',
    () => {
      cancelGrace = clock.after(GRACE_MS, () => {
        log.warn({ code: 'StopUnproven' }, `Not everything in flight was proven within ${GRACE_MS / 1000} s of the stop; what was not comes again after the restart`)
        given.abort(new Error(`not proven within ${GRACE_MS / 1000} s of the stop`))
      })
    },
    { once: true },
  )

  const guard = async (work: Promise<void>): Promise<void> => {
    try {
      await work
    } catch (error) {
      failed.abort(error)
      throw error
    }
  }

  const delivering = outputs.map((output) => guard(deliverShares(output, { ...options, stop, abort: given.signal, drain: drained.signal })))
  const collected = guard(collectOwned({ ...options, stop })).then(() => {
    if (once && !stop.aborted) log.info('All that is due is in the buffer; delivering the rest')
    if (once) drained.abort()
  })
  try {
    const results = await Promise.allSettled([collected, ...delivering])
    for (const result of results) if (result.status === 'rejected') throw result.reason
  } finally {
    cancelGrace()
  }
}

/** What reads events besides the outputs. With a start time, from the oldest on: what was pulled before it the service passes over. */
function followers(sources: readonly Source[]): OutputStart[] {
  return sources.flatMap(({ services }) =>
    services.flatMap(({ follows, startTime }): OutputStart[] => {
      if (follows === undefined) return []
      return [{ name: follows, startFrom: startTime === null ? 'now' : 'oldest', feedsService: true }]
    }),
  )
}

/** Waits for a buffer that is away; false where the stop came first. */
async function openOutputs({ sources, outputs, buffer, clock, log, conditions, stop, once }: SupervisorOptions): Promise<boolean> {
  const backoff = retryBackoff()
  const stopped = (): boolean => stop.aborted
  while (!stopped()) {
    try {
      await buffer.openOutputs([...outputs.map(({ name, startFrom }) => ({ name, startFrom })), ...followers(sources)])
      const snapshot = await buffer.snapshot()
      conditions.clear('buffer')
      for (const { name, open, backlogEvents } of snapshot.outputs) {
        if (open || backlogEvents === 0) continue
        log.warn(
          { code: 'OutputOff', output: name, backlogEvents },
          `Output ${name} is not configured or switched off, and ${backlogEvents} events were not delivered to it; they stay for the retention only. Under its old name it goes on where it was`,
        )
      }
      return true
    } catch (error) {
      if (!(error instanceof RetryableError) || once) throw error
      if (conditions.set('buffer', describeError(error), { code: 'OutputWaitsForBuffer', err: error }))
        log.error({ code: 'OutputWaitsForBuffer', err: error }, `The outputs wait for the buffer: ${describeError(error)}`)
      await clock.sleep(backoff.next(), stop).catch(() => undefined)
    }
  }
  return false
}

/**
 * Reads the inputs while this process owns them, and stands by while another does. With `once` until all that is due is in, and
 * InputsTakenError where another keeps them.
 */
async function collectOwned(options: SupervisorOptions): Promise<void> {
  const { buffer, clock, log, conditions, stop, once } = options
  const backoff = retryBackoff()
  const stopped = (): boolean => stop.aborted
  const standBy = (): void => {
    conditions.clear('inputs')
    conditions.set(STANDBY, 'another collector reads the inputs', { code: 'StandingBy' })
  }
  standBy()
  while (!stopped()) {
    try {
      const ownership = await (once ? ownInputsSoon({ buffer, clock, log, signal: stop }) : buffer.ownInputs(stop, standBy))
      conditions.clear(STANDBY)
      const waitedMs = conditions.clear('inputs')
      if (waitedMs !== null) log.info(`The inputs are read again after ${Math.round(waitedMs / 1000)} s`)
      backoff.reset()
      let isDone: boolean
      try {
        isDone = await collectAll(options, AbortSignal.any([stop, ownership.lost]))
      } finally {
        await ownership.release()
      }
      if (isDone || stopped()) return
      conditions.set('inputs', describeError(ownership.lost.reason), { code: 'StandingBy', err: ownership.lost.reason })
      log.warn({ code: 'StandingBy' }, `Another collector reads the inputs from here on, or may: standing by (${describeError(ownership.lost.reason)})`)
    } catch (error) {
      // Who reads them now is not known; and whoever stands by is ready, but this one is not.
      conditions.clear(STANDBY)
      if (stopped()) return
      if (!(error instanceof RetryableError) || once) throw error
      if (conditions.set('inputs', describeError(error), { code: 'InputsWait', err: error }))
        log.error({ code: 'InputsWait', err: error }, `The inputs wait: ${describeError(error)}`)
      await clock.sleep(backoff.next(), stop).catch(() => undefined)
    }
  }
}

/**
 * Every service of every source side by side, until all of them have ended: true where they did so by themselves (`once`), false where the
 * signal said so. With `once` those that follow events begin when the others have ended: before that not all is there. Throws the first error.
 */
async function collectAll({ sources, ...options }: SupervisorOptions, signal: AbortSignal): Promise<boolean> {
  const failed = new AbortController()
  const over = AbortSignal.any([signal, failed.signal])
  const read = async (source: Source, service: SourceService): Promise<boolean> => {
    try {
      await collect({ ...options, source, service, signal: over })
      return !over.aborted
    } catch (error) {
      failed.abort(error)
      throw error
    } finally {
      // What an ended one was waiting for is nobody's trouble here any more.
      if (over.aborted) options.conditions.clearBelow(`${source.name}/${service.name}`)
    }
  }
  const services = sources.flatMap((source) => source.services.map((service) => ({ source, service })))
  const leading = services.filter(({ service }) => service.follows === undefined).map(({ source, service }) => read(source, service))
  const following = services
    .filter(({ service }) => service.follows !== undefined)
    .map(async ({ source, service }) => {
      if (options.once) await Promise.allSettled(leading)
      return read(source, service)
    })
  const collecting = [...leading, ...following]
  const results = await Promise.allSettled(collecting)
  if (failed.signal.aborted) throw failed.signal.reason
  return results.every((result) => result.status === 'fulfilled' && result.value)
}

interface DeliverSharesOptions extends SupervisorOptions {
  readonly abort: AbortSignal
  readonly drain: AbortSignal
}

/** Delivers one share of an output's events after the other: one for good on an embedded buffer, a new one whenever processes come and go. */
async function deliverShares(output: Output, options: DeliverSharesOptions): Promise<void> {
  const { name, sink, transforms, shipmentsInFlight, maxShipmentEvents, maxShipmentBytes } = output
  const { sources, buffer, clock, log, conditions, counters, stop, abort, drain } = options
  const inputNames = new Map(sources.map((source) => [source.inputId, source.name]))
  const backoff = retryBackoff()
  const stopped = (): boolean => stop.aborted
  while (!stopped()) {
    let share: OutputShare
    try {
      share = await buffer.takeShare(name, stop)
      const waitedMs = conditions.clear(`${name}/buffer`)
      if (waitedMs !== null) log.info({ output: name }, `Output ${name} has the buffer again after ${Math.round(waitedMs / 1000)} s`)
    } catch (error) {
      if (stopped()) return
      if (!(error instanceof RetryableError)) throw error
      if (conditions.set(`${name}/buffer`, describeError(error), { code: 'OutputWaitsForBuffer', err: error }))
        log.error({ code: 'OutputWaitsForBuffer', output: name, err: error }, `Output ${name} waits for the buffer: ${describeError(error)}`)
      await clock.sleep(backoff.next(), stop).catch(() => undefined)
      continue
    }
    backoff.reset()
    const { cursor, missedEvents, ending, lost } = share
    if (missedEvents > 0)
      log.error(
        { code: 'OutputMissedEvents', output: name, missedEvents },
        `Output ${name} was off, or could not deliver, for so long that ${missedEvents} events it had not yet got are gone from the buffer`,
      )
    try {
      await deliver({
        output: name,
        sink,
        buffer,
        cursor,
        transforms,
        clock,
        log,
        conditions,
        counters,
        inputName: (id) => inputNames.get(id) ?? id,
        maxShipmentEvents,
        maxShipmentBytes,
        shipmentsInFlight: Math.min(shipmentsInFlight, sink.maxShipmentsInFlight),
        stop: AbortSignal.any([stop, ending]),
        abort: AbortSignal.any([abort, lost]),
        drain,
      })
    } finally {
      await share.release()
    }
    if (!ending.aborted && !lost.aborted) return
  }
}
