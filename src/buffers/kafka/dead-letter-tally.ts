import type { Logger } from 'pino'
import type { RecordProducer } from '../../kafka/record-producer.ts'
import { assertRoomForDeadLetters, type KeptAmount } from '../../pipeline/dead-letters.ts'
import { letterOf, type DeadLetterLog } from './dead-letter-log.ts'
import { forgetRemoved, isRemade, removedOf } from './remade-letters.ts'
import type { StateLog } from './state-log.ts'
import type { Topics } from './topics.ts'

/** Of each output, and of the source; a broker has no limit that a part could be taken of. */
const MAX_BYTES = 512 * 1024 * 1024
const NOTHING: KeptAmount = { letters: 0, bytes: 0 }

interface TallyParts {
  readonly letters: DeadLetterLog
  readonly stateLog: StateLog
  readonly topics: Topics
  readonly producer: RecordProducer
  readonly log: Logger
}

interface Counted {
  readonly offset: number
  readonly bytes: number
}

/** How many dead letters there are, by output (null: the source's own). Each look reads only what came since the last one. */
export class DeadLetterTally {
  readonly #parts: TallyParts
  readonly #full = new Set<string | null>()
  #counted = new Map<string | null, Counted[]>()
  #next = 0
  #tail: Promise<unknown> = Promise.resolve()

  constructor(parts: TallyParts) {
    this.#parts = parts
  }

  /** Owed before letters are added. Throws RetryableError where the output (null: the source) may add no more. */
  async assertRoom(output: string | null): Promise<void> {
    await this.#inTurn(() => this.#forgetIfRemade())
    const amount = (await this.amounts()).get(output) ?? NOTHING
    this.#full.add(output)
    assertRoomForDeadLetters(output, amount, MAX_BYTES)
    this.#full.delete(output)
  }

  /** The same without asking the broker, as long as there was room at the last look. */
  async assertStillRoom(output: string | null): Promise<void> {
    if (this.#full.has(output)) await this.assertRoom(output)
  }

  amounts(): Promise<ReadonlyMap<string | null, KeptAmount>> {
    return this.#inTurn(() => this.#count())
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const next = this.#tail.then(work)
    this.#tail = next.catch(() => undefined)
    return next
  }

  async #forgetIfRemade(): Promise<void> {
    const { letters, stateLog, topics, producer, log } = this.#parts
    const view = await stateLog.refresh()
    if (isRemade(view, await letters.end())) await forgetRemoved(view, topics, producer, log)
  }

  async #count(): Promise<ReadonlyMap<string | null, KeptAmount>> {
    const { letters, stateLog, topics } = this.#parts
    const view = await stateLog.refresh()
    const [start, end] = [await letters.start(), await letters.end()]
    const removed = removedOf(view, end)
    // Deleted and made anew.
    if (end < this.#next) this.#counted = new Map()
    for await (const { records, next } of letters.pages(end < this.#next ? start : Math.max(start, this.#next), end)) {
      for (const record of records) {
        const { output } = letterOf(record, topics)
        const counted = this.#counted.get(output) ?? []
        this.#counted.set(output, counted)
        counted.push({ offset: record.offset, bytes: record.value?.length ?? 0 })
      }
      this.#next = next
    }
    const amounts = new Map<string | null, KeptAmount>()
    for (const [output, counted] of this.#counted) {
      const kept = counted.filter(({ offset }) => offset >= start && !removed.has(offset))
      this.#counted.set(output, kept)
      amounts.set(output, { letters: kept.length, bytes: kept.reduce((sum, { bytes }) => sum + bytes, 0) })
    }
    return amounts
  }
}
