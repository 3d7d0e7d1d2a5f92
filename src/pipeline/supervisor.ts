import type { Logger } from 'pino'
import type { Cursor, EventBuffer } from './buffer.ts'
import type { Clock } from './clock.ts'
import { collect } from './collect.ts'
import type { Conditions } from './conditions.ts'
import type { Counters } from './counters.ts'
import { deliver } from './deliver.ts'
import type { Sink } from './sink.ts'
import type { Source } from './source.ts'
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
  const { sources, outputs, buffer, clock, log, conditions, counters, once } = options
  const failed = new AbortController()
  const drained = new AbortController()
  const given = new AbortController()
  const stop = AbortSignal.any([options.stop, failed.signal])

  const cursors = await buffer.openOutputs(outputs.map(({ name, startFrom }) => ({ name, startFrom })))
  for (const { name, open, backlogEvents } of (await buffer.snapshot()).outputs) {
    if (open || backlogEvents === 0) continue
    log.warn(
      { output: name, backlogEvents },
      `Output ${name} is not configured or switched off, and ${backlogEvents} events were not delivered to it; they stay for the retention only. Under its old name it goes on where it was`,
    )
  }
  let cancelGrace = (): void => undefined
  stop.addEventListener(
    'abort',
    () => {
      cancelGrace = clock.after(GRACE_MS, () => {
        log.warn(`Not everything in flight was proven within ${GRACE_MS / 1000} s of the stop; what was not comes again after the restart`)
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

  const collecting = sources.flatMap((source) =>
    source.services.map((service) => guard(collect({ source, service, buffer, clock, log, conditions, counters, signal: stop, once }))),
  )
  const delivering = outputs.map(({ name, sink, transforms, shipmentsInFlight, maxShipmentEvents, maxShipmentBytes }) => {
    const { cursor, missedEvents } = cursors.get(name) ?? unopened(name)
    if (missedEvents > 0)
      log.error(
        { output: name, missedEvents },
        `Output ${name} was off for so long that ${missedEvents} events it had not yet got are gone from the buffer`,
      )
    return guard(
      deliver({
        output: name,
        sink,
        buffer,
        cursor,
        transforms,
        clock,
        log,
        conditions,
        counters,
        maxShipmentEvents,
        maxShipmentBytes,
        shipmentsInFlight: Math.min(shipmentsInFlight, sink.maxShipmentsInFlight),
        stop,
        abort: given.signal,
        drain: drained.signal,
      }),
    )
  })

  const collected = Promise.all(collecting).then(() => {
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

function unopened(name: string): { cursor: Cursor; missedEvents: number } {
  throw new Error(`the buffer has not opened output ${name}`)
}
