import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import { UNKNOWN_SERVICE } from '../../pipeline/dead-letters.ts'
import { describeError } from '../../pipeline/errors.ts'
import { FirstAndSum } from '../../pipeline/first-and-sum.ts'
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
 * Records of the events topic that are no events: one dead letter each, and reading goes on behind them. A letter is kept by the commit that passes
 * over its record and by no earlier one, or another process would meet the record and keep it again. The caller owes a `close`.
 */
export class UndecodableRecords {
  readonly #topics: Topics
  readonly #clock: Clock
  readonly #log: Logger
  /** By output and place, those that lie behind what it has committed. A shipment that is sent again tells them again. */
  readonly #told = new Map<string, Map<string, Told>>()
  readonly #lines = new Map<string, FirstAndSum<Told>>()

  constructor(topics: Topics, clock: Clock, log: Logger) {
    this.#topics = topics
    this.#clock = clock
    this.#log = log
  }

  tell(output: string, record: Undecodable): void {
    const { partition, offset } = record
    const known = this.#told.get(output) ?? new Map<string, Told>()
    const place = `${partition}/${offset}`
    if (known.has(place)) return
    const told = { partition, offset, letter: undecodableLetter(this.#topics.events, record, output, this.#clock.now()) }
    this.#told.set(output, known.set(place, told))
    this.#linesOf(output).add([told])
  }

  /** Safe at any time, also twice. */
  close(): void {
    for (const lines of this.#lines.values()) lines.close()
  }

  #linesOf(output: string): FirstAndSum<Told> {
    let lines = this.#lines.get(output)
    if (lines === undefined) {
      lines = new FirstAndSum<Told>(this.#clock, ({ partition, offset, letter: { reason } }, records) => {
        const what = records === 1 ? 'what cannot be read; it is kept as a dead letter' : `${records} records that cannot be read; they are kept as dead letters, the first of them`
        this.#log.error({ code: 'KafkaRecordForeign', output, partition, offset, records }, `${output} passes over ${what}: ${reason}`)
      })
      this.#lines.set(output, lines)
    }
    return lines
  }

  /** Of the records that a commit of these offsets passes over: to be kept before it. */
  below(output: string, offsets: Offsets): readonly DeadLetter[] {
    return [...(this.#told.get(output)?.values() ?? [])].filter((told) => isBelow(told, offsets)).map(({ letter }) => letter)
  }

  /** These are committed, and never read again. */
  forgetBelow(output: string, offsets: Offsets): void {
    const known = this.#told.get(output)
    for (const [place, told] of known ?? []) if (isBelow(told, offsets)) known?.delete(place)
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
