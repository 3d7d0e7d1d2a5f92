import type { Writable } from 'node:stream'
import type { Batch } from './event.ts'

export interface ShipmentContext {
  /** Aborts when the shipment is given up; what it wrote then counts as not delivered. */
  readonly signal: AbortSignal
  /** Names an event (by its index in the batch) that the destination refuses for good: it becomes a dead letter when the shipment is delivered. */
  readonly reject: (batch: Batch, index: number, reason: string) => void
}

/** The last argument of `pipeline()`. */
export type Delivery = Writable | ((batches: AsyncIterable<Batch>) => Promise<void>)

/**
 * Writes events to one destination. A sink owes:
 * - `ship` gives a Writable of batches that calls back from `_final` only when everything written to it is safe at the destination, or a
 *   function that resolves only then. `await pipeline(batches, sink.ship(..))` resolved **means delivered**, and nothing can take that back.
 * - it fails (with anything) when that is not certain: nothing may then be assumed, and the same events come again in a new shipment.
 * - a batch's bytes are its own: it may give them back early (`releaseBytes`), which keeps memory flat; whoever ships needs them no more.
 * - no connection is made for a shipment without events.
 * - `check` proves that the destination can be reached and accepts us, without writing events.
 * - `close` is safe at any time, also twice; it leaves no socket, timer or file open. Open shipments fail.
 */
export interface Sink {
  /** How many shipments it takes at once; the user's `shipments_in_flight` may lower it. */
  readonly maxShipmentsInFlight: number
  ship(context: ShipmentContext): Delivery
  check(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}
