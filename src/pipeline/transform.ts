import type { Batch } from './event.ts'

/** Names an event (by its index in the batch as it was given) that must not go out as it is: it is left out, and becomes a dead letter. */
export type Reject = (batch: Batch, index: number, reason: string) => void

/**
 * Events to events, without state: a retry sends the same batches through it again. Null: nothing is left of the batch; the cursor moves over it
 * all the same. The batch that it gets stays as it is, for an event that is refused later becomes a dead letter as it was read. Another one that it
 * makes has arrays of its own, with 16 bytes of fingerprint for each line: that of the event it was. Throwing fails the shipment, which comes again.
 */
export type Transform = (batch: Batch, reject: Reject) => Batch | null
