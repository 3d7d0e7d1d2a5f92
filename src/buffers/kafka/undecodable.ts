import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import { describeError } from '../../pipeline/errors.ts'
import { FINGERPRINT_BYTES } from '../../pipeline/event.ts'
import type { DeadLetter } from '../../pipeline/unit.ts'
import type { Undecodable } from './batches.ts'
import type { Topics } from './topics.ts'

/** Of what may be anything the head tells enough. */
const HEAD_BYTES = 64 * 1024

/** Records of the events topic that are no events: one dead letter and one line in the log each, and reading goes on behind them. */
export class UndecodableRecords {
  readonly #topics: Topics
  readonly #clock: Clock
  readonly #log: Logger
  readonly #told = new Set<string>()
  readonly #pending = new Map<string, DeadLetter[]>()

  constructor(topics: Topics, clock: Clock, log: Logger) {
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
      event: value.slice(0, HEAD_BYTES),
      size: value.length,
      fingerprint: new Uint8Array(FINGERPRINT_BYTES),
    }
    this.#pending.set(output, [...(this.#pending.get(output) ?? []), letter])
  }

  /** What was told of the output and is not kept yet. Its commit keeps it first, or the letter of what it passes over could be lost. */
  pending(output: string): readonly DeadLetter[] {
    return this.#pending.get(output) ?? []
  }

  kept(output: string, letters: readonly DeadLetter[]): void {
    this.#pending.set(output, this.pending(output).filter((letter) => !letters.includes(letter)))
  }
}
