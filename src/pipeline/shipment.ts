import { pipeline } from 'node:stream/promises'
import { retryBackoff } from './backoff.ts'
import type { BatchStream, Cursor, DeliveryBuffer } from './buffer.ts'
import type { Clock } from './clock.ts'
import { FatalError, RetryableError } from './errors.ts'
import { countEvents, eventsOf, FINGERPRINT_BYTES, type Batch } from './event.ts'
import { ServiceCounts } from './service-counts.ts'
import type { Sink } from './sink.ts'
import type { Reject, Transform } from './transform.ts'
import type { DeadLetter } from './unit.ts'

export interface ShipmentOptions {
  readonly output: string
  readonly sink: Sink
  readonly buffer: DeliveryBuffer
  readonly transforms: readonly Transform[]
  readonly maxEvents: number
  readonly maxBytes: number
  readonly clock: Clock
  /** Gives everything up. */
  readonly signal: AbortSignal
  /** Ends reading early, so that what is written can still be proven; no attempt begins afterwards. Aborts with `signal` too. */
  readonly stop: AbortSignal
  readonly onFailure: (error: unknown, attempt: number) => void
}

/**
 * The run of buffered events that an output writes and proves as a whole; sent again until it is proven.
 *
 *   reading ──end of read──▶ proving ──pipeline resolved──▶ proven
 *      └───────── any error ─────┴──▶ waiting (backoff) ──▶ reading, with the same `to`
 */
export class Shipment {
  /** Behind its last event; undefined until one attempt has read to the end. Later attempts keep it, or they would overlap the successor. */
  to: Cursor | undefined
  deadLetters: readonly DeadLetter[] = []
  /** Of the attempt that was proven: events read, and those of them that transforms left over. */
  eventsRead = 0
  eventsSent = 0
  /** Of that attempt too: what the output has taken, and how long it took from its start. */
  delivered = new ServiceCounts()
  durationMs = 0
  /** Resolves when the successor may begin, with its `from`; rejects where `proven` does so earlier. */
  readonly readEnded: Promise<Cursor>
  readonly proven: Promise<void>
  readonly #reading = Promise.withResolvers<Cursor>()
  readonly #from: Cursor
  readonly #options: ShipmentOptions

  constructor(from: Cursor, options: ShipmentOptions) {
    this.#from = from
    this.#options = options
    this.readEnded = this.#reading.promise
    this.proven = this.#run()
    // Either may fail while its predecessor is still pending and nobody waits for it yet.
    this.proven.catch((error: unknown) => this.#reading.reject(error))
    this.readEnded.catch(() => undefined)
  }

  async #run(): Promise<void> {
    const { clock, signal, stop, onFailure } = this.#options
    const backoff = retryBackoff()
    for (;;) {
      try {
        await this.#attempt()
        return
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof FatalError) throw error
        onFailure(error, backoff.failures + 1)
        stop.throwIfAborted()
        // A destination that named the time for the next try gets it no earlier.
        const namedMs = error instanceof RetryableError ? (error.retryAfterMs ?? 0) : 0
        await clock.sleep(Math.max(backoff.next(), namedMs), stop)
      }
    }
  }

  async #attempt(): Promise<void> {
    const { output, sink, buffer, transforms, maxEvents, maxBytes, signal, stop, clock } = this.#options
    const batches = buffer.read(output, { from: this.#from, ...(this.to !== undefined && { to: this.to }), maxEvents, maxBytes, signal })
    batches.once('end', () => this.#endOfRead(batches))
    // A retry must reach the end of its first attempt: the successor begins there, and what lay between would never be sent.
    const finish = (): void => {
      if (this.to === undefined) batches.finish()
    }
    stop.addEventListener('abort', finish)
    if (stop.aborted) finish()
    const beganAt = clock.monotonic()
    const rejected: DeadLetter[] = []
    const attempt = { eventsSent: 0, isReadToEnd: false, delivered: new ServiceCounts() }
    const sources: Sources = new WeakMap()
    const reject = (batch: Batch, index: number, reason: string): void => {
      rejected.push(deadLetter(asRead(batch, index, sources), reason, output, clock.now()))
    }
    const transformed = transforming(transforms, sources, {
      // It counts among those that were tried, as one does that the destination refuses.
      reject: (batch, index, reason) => {
        attempt.eventsSent += 1
        reject(batch, index, reason)
      },
      count: (batch) => {
        const events = countEvents(batch)
        attempt.eventsSent += events
        attempt.delivered.add(batch, events)
      },
      end: () => (attempt.isReadToEnd = true),
    })
    const delivery = sink.ship({
      signal,
      reject: (batch, index, reason) => {
        reject(batch, index, reason)
        attempt.delivered.add(batch, -1)
      },
    })
    try {
      if (typeof delivery === 'function') await pipeline(batches, transformed, delivery, { signal })
      else await pipeline(batches, transformed, delivery, { signal })
    } finally {
      stop.removeEventListener('abort', finish)
    }
    if (!attempt.isReadToEnd) throw new Error('the output said that all is delivered before it had taken all events')
    this.deadLetters = rejected
    this.eventsSent = attempt.eventsSent
    this.delivered = attempt.delivered
    this.durationMs = clock.monotonic() - beganAt
  }

  #endOfRead(batches: BatchStream): void {
    this.to = batches.cursor
    this.eventsRead = batches.eventsRead
    this.#reading.resolve(this.to)
  }
}

/** Of what transforms have made: the batch as it was read. */
type Sources = WeakMap<Batch, Batch>

interface Passage {
  readonly reject: Reject
  readonly count: (batch: Batch) => void
  readonly end: () => void
}

function transforming(transforms: readonly Transform[], sources: Sources, { reject, count, end }: Passage) {
  return async function* (batches: AsyncIterable<Batch>): AsyncGenerator<Batch> {
    for await (const batch of batches) {
      let left: Batch | null = batch
      for (const transform of transforms) {
        left = transform(left, reject)
        if (left === null) break
        if (left !== batch) sources.set(left, batch)
      }
      if (left === null) continue
      count(left)
      yield left
    }
    end()
  }
}

interface Place {
  readonly batch: Batch
  readonly index: number
}

/**
 * A dead letter is the event as the buffer has it, for it goes through the transforms again when it is sent again, and a hash of a hash would be another
 * one. What a transform has made of it has the same fingerprint; one that has no such event any more keeps what was refused.
 */
function asRead(batch: Batch, index: number, sources: Sources): Place {
  const source = sources.get(batch)
  if (source === undefined) return { batch, index }
  if (countEvents(source) === countEvents(batch)) return { batch: source, index }
  const wanted = fingerprintAt(batch, index)
  const found = Array.from({ length: countEvents(source) }, (_, at) => at).find((at) => Buffer.compare(fingerprintAt(source, at), wanted) === 0)
  return found === undefined ? { batch, index } : { batch: source, index: found }
}

function deadLetter({ batch, index }: Place, reason: string, output: string, at: number): DeadLetter {
  const event = [...eventsOf(batch)][index]
  if (event === undefined) throw new RangeError(`rejected event ${index} of a batch that has not so many`)
  const { inputId, service, pulledAt, environment, window } = batch
  const fingerprint = fingerprintAt(batch, index)
  return { inputId, service, pulledAt, environment, ...(window !== undefined && { window }), output, reason, at, event: event.slice(), size: event.length, fingerprint }
}

function fingerprintAt({ fingerprints }: Batch, index: number): Uint8Array {
  return fingerprints.slice(index * FINGERPRINT_BYTES, (index + 1) * FINGERPRINT_BYTES)
}
