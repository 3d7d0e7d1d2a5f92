import type { Batch } from './event.ts'

/** Names an event (by its index in the batch as it was given) that must not go out as it is: it is left out, and becomes a dead letter. */
export type Reject = (batch: Batch, index: number, reason: string) => void

/**
 * Events to events, without state: a retry sends the same batches through it again. Null: nothing is left of the batch; the cursor moves over it
 * all the same. The batch is its own: it may give the bytes back (`releaseBytes`) once it has made another, whose arrays are its own, with
 * 16 bytes of fingerprint for each line. Throwing fails the shipment, which comes again.
 */
export type Transform = (batch: Batch, reject: Reject) => Batch | null
