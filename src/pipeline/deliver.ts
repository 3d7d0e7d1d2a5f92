import type { Logger } from 'pino'
import { retryBackoff } from './backoff.ts'
import type { Cursor, DeliveryBuffer } from './buffer.ts'
import type { Clock } from './clock.ts'
import type { Conditions } from './conditions.ts'
import { counted } from './counted.ts'
import type { Counters } from './counters.ts'
import { describeError, FatalError, isBug, RetryableError } from './errors.ts'
import { FirstAndSum } from './first-and-sum.ts'
import { Shipment } from './shipment.ts'
import type { Sink } from './sink.ts'
import { SECOND_MS } from './time.ts'
import type { Transform } from './transform.ts'
import type { DeadLetter } from './unit.ts'

export interface DeliverOptions {
  readonly output: string
  readonly sink: Sink
  readonly buffer: DeliveryBuffer
  /** Where the output is: its cursor when it was opened. */
  readonly cursor: Cursor
  readonly transforms: readonly Transform[]
  readonly shipmentsInFlight: number
  readonly maxShipmentEvents: number
  readonly maxShipmentBytes: number
  readonly clock: Clock
  readonly log: Logger
  readonly conditions: Conditions
  readonly counters: Counters
  /** What the user calls an input, for what is counted. Left out: its id. */
  readonly inputName?: (inputId: string) => string
  /** Begin nothing new; what is in flight may still be proven. */
  readonly stop: AbortSignal
  /** Give everything up; what is not proven counts as not sent. */
  readonly abort: AbortSignal
  /** Nothing more will be appended: end when everything has been delivered. Never aborts where the collector runs on. */
  readonly drain: AbortSignal
  /** A rehearsal: nothing goes out, and what would be refused is not kept. */
  readonly isDry?: boolean
}

/**
 * The second hop: buffered events to one output, several shipments at once, their cursors committed in order.
 * Resolves after a stop or, once drained, with everything committed. Throws only what cannot be mended.
 */
export async function deliver(options: DeliverOptions): Promise<void> {
  const refusals = new FirstAndSum<DeadLetter>(options.clock, (example, events) => tellRefused(options, example, events))
  try {
    await deliverAll(options, refusals)
  } finally {
    refusals.close()
  }
}

async function deliverAll(options: DeliverOptions, refusals: FirstAndSum<DeadLetter>): Promise<void> {
  const { output, sink, buffer, clock, log, conditions, counters, inputName = (id: string): string => id, stop, abort, drain } = options
  const failed = new AbortController()
  const signal = AbortSignal.any([abort, failed.signal])
  const ended = AbortSignal.any([signal, stop])
  const endedOrDrained = AbortSignal.any([ended, drain])
  /** Of the shipments in flight, oldest first; each is done when its cursor is committed, in order. */
  const commits: Promise<void>[] = []
  let committed: Promise<void> = Promise.resolve()
  const isEnded = (): boolean => ended.aborted

  const onFailure = (error: unknown, attempt: number): void => {
    counters.add('delivery_attempts_total', { output, result: 'failed' })
    const reason = describeError(error)
    const isNews = conditions.set(output, reason, { code: isBug(error) ? 'OutputBug' : 'DeliveryFailed', err: error })
    // One output's bug must not stop the others.
    if (isNews && isBug(error))
      log.error({ code: 'OutputBug', output, stack: error instanceof Error ? error.stack : undefined }, `A bug in output ${output}: ${reason}`)
    if (isNews) log.warn({ code: 'DeliveryFailed', output, attempt, err: error }, `Delivery to ${output} failed, its events are sent again: ${reason}`)
    else log.debug({ output, attempt }, `Delivery to ${output} failed again: ${reason}`)
  }
  const onProven = (shipment: Shipment): void => {
    if (shipment.eventsSent > 0) {
      counters.add('delivery_attempts_total', { output, result: 'delivered' })
      counters.observe('delivery_duration_seconds', { output }, shipment.durationMs / SECOND_MS)
      for (const { inputId, service, events } of shipment.delivered.entries()) {
        if (events === 0) continue
        const labels = { input: inputName(inputId), service, output }
        counters.add('events_delivered_total', labels, events)
        counters.note('last_success_timestamp_seconds', labels, clock.now() / SECOND_MS)
      }
      if (shipment.deadLetters.length > 0) counters.add('dead_letters_total', { output, reason: 'refused' }, shipment.deadLetters.length)
    }
    refusals.add(shipment.deadLetters)
    const waitedMs = conditions.clear(output)
    if (waitedMs !== null) log.info({ output }, `Delivery to ${output} works again after ${Math.round(waitedMs / 1000)} s`)
  }

  try {
    await checked(options, ended)
    let from = options.cursor
    while (!isEnded()) {
      // A slot is free only when its cursor is committed, or shipments would pile up behind one that fails.
      if (commits.length >= options.shipmentsInFlight) await commits.shift()
      await waitBeyond(options, from, endedOrDrained)
      if (isEnded()) break
      const shipment = new Shipment(from, {
        output,
        sink,
        buffer,
        transforms: options.transforms,
        clock,
        signal,
        stop: ended,
        onFailure,
        maxEvents: options.maxShipmentEvents,
        maxBytes: options.maxShipmentBytes,
      })
      committed = committed
        .then(() => shipment.proven)
        .then(() => commit(options, shipment, signal))
        .then(() => onProven(shipment))
      committed.catch((error: unknown) => failed.abort(error))
      commits.push(committed)
      from = await shipment.readEnded
      if (drain.aborted && shipment.eventsRead === 0) break
    }
  } catch (error) {
    // A shipment that failed for good has aborted `signal`; its error comes again from `committed`, in order.
    if (!ended.aborted) throw error
  }
  await committed.catch((error: unknown) => {
    if (error !== stop.reason && error !== abort.reason) throw error
  })
}

function tellRefused({ output, log, isDry = false }: DeliverOptions, { service, reason }: DeadLetter, events: number): void {
  const what = events === 1 ? 'an event' : counted(events, 'event')
  const where = isDry ? '' : events === 1 ? '; it is kept as a dead letter' : '; they are kept as dead letters'
  const example = events === 1 ? '' : 'the first of them: '
  log.error({ code: 'EventRefused', output, service, reason, events }, `${output} ${isDry ? 'would refuse' : 'refused'} ${what} for good${where}: ${example}${reason}`)
}

/** A buffer that is away is waited for, as an empty one is. */
async function waitBeyond({ output, buffer, clock, log, conditions }: DeliverOptions, cursor: Cursor, signal: AbortSignal): Promise<void> {
  const backoff = retryBackoff()
  const isAborted = (): boolean => signal.aborted
  while (!isAborted()) {
    try {
      await buffer.waitBeyond(output, cursor, signal)
      conditions.clear(`${output}/buffer`)
      return
    } catch (error) {
      if (isAborted()) return
      if (!(error instanceof RetryableError)) throw error
      if (conditions.set(`${output}/buffer`, describeError(error), { code: 'OutputWaitsForBuffer', err: error }))
        log.error({ code: 'OutputWaitsForBuffer', output, err: error }, `Output ${output} waits for the buffer: ${describeError(error)}`)
      await clock.sleep(backoff.next(), signal).catch(() => undefined)
    }
  }
}

/** The endpoint is probed before the first shipment, and until it answers. */
async function checked({ output, sink, clock, log, conditions }: DeliverOptions, signal: AbortSignal): Promise<void> {
  const backoff = retryBackoff()
  conditions.set(output, 'connecting', { code: null })
  for (;;) {
    try {
      await sink.check(signal)
      conditions.clear(output)
      log.info({ output }, `Output ${output} is reachable and accepts us`)
      return
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof FatalError) throw error
      const reason = describeError(error)
      if (conditions.set(output, reason, { code: 'OutputUnreachable', err: error }))
        log.warn({ code: 'OutputUnreachable', output, err: error }, `Output ${output} is not reachable, trying again: ${reason}`)
      await clock.sleep(backoff.next(), signal)
    }
  }
}

/** Nothing is sent again because the cursor could not be written: only the writing is repeated. */
async function commit({ output, buffer, clock, log, conditions }: DeliverOptions, shipment: Shipment, signal: AbortSignal): Promise<void> {
  const backoff = retryBackoff()
  for (;;) {
    try {
      // proven implies that one attempt has read to the end
      await buffer.commit(output, shipment.to ?? '', shipment.deadLetters)
      return
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof RetryableError)) throw error
      if (conditions.set(output, describeError(error), { code: 'PositionNotSaved', err: error }))
        log.error({ code: 'PositionNotSaved', output, err: error }, `Saving the position of ${output} failed, trying again: ${describeError(error)}`)
      await clock.sleep(backoff.next(), signal)
    }
  }
}
