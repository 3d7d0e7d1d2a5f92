import type { Batch } from './event.ts'

/** Events to events, without state. Null: nothing is left of the batch; the cursor moves over it all the same. */
export type Transform = (batch: Batch) => Batch | null
