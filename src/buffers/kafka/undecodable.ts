import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import { UNKNOWN_SERVICE } from '../../pipeline/dead-letters.ts'
import { describeError } from '../../pipeline/errors.ts'
import { FINGERPRINT_BYTES } from '../../pipeline/event.ts'
import type { DeadLetter } from '../../pipeline/unit.ts'
import type { Undecodable } from './batches.ts'
import type { Offsets } from './cursor.ts'
import type { Topics } from './topics.ts'

/** Of what may be anything the head tells enough. */
const HEAD_BYTES = 64 * 1024

interface Told {
  readonly partition: number
  readonly offset: number
  readonly letter: DeadLetter
}

/**
 * Records of the events topic that are no events: one dead letter and one line in the log each, and reading goes on behind them. A letter is
 * kept by the commit that passes over its record and by no earlier one, or another process would meet the record and keep it again.
 */
export class UndecodableRecords {
  readonly #topics: Topics
  readonly #clock: Clock
  readonly #log: Logger
  /** By output, those that lie behind what it has committed. A shipment that is sent again tells them again. */
  readonly #told = new Map<string, readonly Told[]>()

  constructor(topics: Topics, clock: Clock, log: Logger) {
    this.#topics = topics
    this.#clock = clock
    this.#log = log
  }

  tell(output: string, record: Undecodable): void {
    const { partition, offset } = record
    const known = this.#told.get(output) ?? []
    if (known.some((told) => told.partition === partition && told.offset === offset)) return
    const letter = undecodableLetter(this.#topics.events, record, output, this.#clock.now())
    this.#log.error({ code: 'KafkaRecordForeign', output, partition, offset }, `${output} passes over what cannot be read; it is kept as a dead letter: ${letter.reason}`)
    this.#told.set(output, [...known, { partition, offset, letter }])
  }

  /** Of the records that a commit of these offsets passes over: to be kept before it. */
  below(output: string, offsets: Offsets): readonly DeadLetter[] {
    return (this.#told.get(output) ?? []).filter((told) => isBelow(told, offsets)).map(({ letter }) => letter)
  }

  /** These are committed, and never read again. */
  forgetBelow(output: string, offsets: Offsets): void {
    this.#told.set(output, (this.#told.get(output) ?? []).filter((told) => !isBelow(told, offsets)))
  }

  /** The output has another share: what it had not committed is read, and told, by whoever has it now. */
  forget(output: string): void {
    this.#told.delete(output)
  }
}

/** What is kept of it. `output`: the one that passes over it. */
export function undecodableLetter(topic: string, { partition, offset, value, error }: Undecodable, output: string | null, at: number): DeadLetter {
  return {
    inputId: 'unknown',
    service: UNKNOWN_SERVICE,
    pulledAt: 0,
    environment: null,
    output,
    reason: `record ${offset} of partition ${partition} of ${topic} is no event: ${describeError(error)}`,
    at,
    event: value.slice(0, HEAD_BYTES),
    size: value.length,
    fingerprint: new Uint8Array(FINGERPRINT_BYTES),
  }
}

function isBelow({ partition, offset }: Told, offsets: Offsets): boolean {
  return offset < (offsets.get(partition) ?? 0)
}
