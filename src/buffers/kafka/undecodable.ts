import type { Logger } from 'pino'
import type { RecordProducer } from '../../kafka/record-producer.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { describeError } from '../../pipeline/errors.ts'
import { FINGERPRINT_BYTES } from '../../pipeline/event.ts'
import type { DeadLetter } from '../../pipeline/unit.ts'
import type { Undecodable } from './batches.ts'
import type { Topics } from './topics.ts'
import { deadLetterRecords } from './unit-records.ts'

/** Records of the events topic that are no events: one dead letter and one line in the log each, and reading goes on behind them. */
export class UndecodableRecords {
  readonly #producer: RecordProducer
  readonly #topics: Topics
  readonly #clock: Clock
  readonly #log: Logger
  readonly #told = new Set<string>()
  #pending: DeadLetter[] = []

  constructor(producer: RecordProducer, topics: Topics, clock: Clock, log: Logger) {
    this.#producer = producer
    this.#topics = topics
    this.#clock = clock
    this.#log = log
  }

  tell(output: string, { partition, offset, value, error }: Undecodable): void {
    const where = `${output}/${partition}/${offset}`
    if (this.#told.has(where)) return
    this.#told.add(where)
    const reason = `record ${offset} of partition ${partition} of ${this.#topics.events} is no event: ${describeError(error)}`
    this.#log.error({ output, partition, offset }, `${output} passes over what cannot be read; it is kept as a dead letter: ${reason}`)
    const letter = {
      inputId: 'unknown',
      service: 'unknown',
      pulledAt: 0,
      environment: null,
      output,
      reason,
      at: this.#clock.now(),
      event: value.slice(),
      size: value.length,
      fingerprint: new Uint8Array(FINGERPRINT_BYTES),
    }
    this.#pending.push(letter)
  }

  /** Keeps what was told. A commit waits for this, or the letter of what it passes over could be lost. */
  async settled(): Promise<void> {
    const sent = [...this.#pending]
    if (sent.length === 0) return
    await this.#producer.send([deadLetterRecords(sent, this.#topics)])
    this.#pending = this.#pending.filter((letter) => !sent.includes(letter))
  }
}
