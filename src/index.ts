/** What sinks and transforms of your own are written against. */
import type { SinkTools, TransformTools } from './plug-ins/tools.ts'
import type { Sink } from './pipeline/sink.ts'
import type { Transform } from './pipeline/transform.ts'

export type { Batch, Chunk, Pull } from './pipeline/event.ts'
export type { Delivery, ShipmentContext, Sink } from './pipeline/sink.ts'
export type { Reject, Transform } from './pipeline/transform.ts'
export type { SinkTools, TransformTools } from './plug-ins/tools.ts'
export { countEvents, eventsOf, FINGERPRINT_BYTES, releaseBytes } from './pipeline/event.ts'
export { RetryableError } from './pipeline/errors.ts'

/**
 * What a plug-in for `outputs` exports as `createSink`. `options` is what stands under `config`, with `${...}` put in and otherwise unchecked: throw
 * where it is wrong, and the start says so. It must not do any I/O of which the outcome matters: that is `check`'s and `ship`'s.
 */
export type CreateSink = (options: Readonly<Record<string, unknown>>, tools: SinkTools) => Sink | Promise<Sink>

/** What a plug-in for `transforms` exports as `createTransform`. */
export type CreateTransform = (options: Readonly<Record<string, unknown>>, tools: TransformTools) => Transform | Promise<Transform>
