import type { Logger } from 'pino'
import type { Clock } from '../pipeline/clock.ts'
import { eventsOf, type Batch } from '../pipeline/event.ts'
import { encodeLines } from '../sinks/line.ts'

/** What a transform is given beside its options, so that a single file needs no package. */
export interface TransformTools {
  /** The output's name in the YAML. */
  readonly name: string
  readonly log: Logger
  readonly clock: Clock
  /** The events of a batch, each as the bytes of its JSON. */
  readonly eventsOf: (batch: Batch) => Iterable<Uint8Array>
  /** A batch as it goes out: one JSON object a line, with `@devo_pulling_id` and `@devo_environment` added. */
  readonly toLines: (batch: Batch) => Buffer
}

export interface SinkTools extends TransformTools {
  /** This machine's name. */
  readonly hostName: string
  /** Where a service's events go in Devo. */
  readonly tagOf: (inputId: string, service: string) => string
}

const NO_PREFIX = new Uint8Array()

export function toolsFor<T extends object>(context: T): T & Pick<TransformTools, 'eventsOf' | 'toLines'> {
  return { ...context, eventsOf, toLines: (batch) => encodeLines(batch, NO_PREFIX) }
}
