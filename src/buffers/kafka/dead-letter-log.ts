import { PositionOutOfRangeError, type FetchedRecord, type PartitionReader } from '../../kafka/partition-reader.ts'
import type { DeadLetter } from '../../pipeline/unit.ts'
import { decodeDeadLetter } from './dead-letter.ts'
import type { Topics } from './topics.ts'
import { undecodableLetter } from './undecodable.ts'

/** All dead letters are in one order. */
export const LETTER_PARTITION = 0
const PAGE_BYTES = 4 * 1024 * 1024
const LONGEST_WAIT_MS = 500

interface LetterPage {
  readonly records: readonly FetchedRecord[]
  /** Behind what the page tells of. */
  readonly next: number
}

/** The dead-letter topic from its start to where it can be read now. Throws as the reader does. */
export class DeadLetterLog {
  readonly #reader: PartitionReader
  readonly #signal: AbortSignal

  constructor(reader: PartitionReader, signal: AbortSignal) {
    this.#reader = reader
    this.#signal = signal
  }

  async start(): Promise<number> {
    return (await this.#reader.offsets('earliest', this.#signal)).get(LETTER_PARTITION) ?? 0
  }

  async end(): Promise<number> {
    return (await this.#reader.offsets('stable', this.#signal)).get(LETTER_PARTITION) ?? 0
  }

  /** Whatever is deleted meanwhile is passed over. */
  async *pages(from: number, end: number): AsyncGenerator<LetterPage, void, undefined> {
    const limits = { maxBytes: PAGE_BYTES, maxWaitMs: LONGEST_WAIT_MS, minBytes: 1, signal: this.#signal }
    for (let next = from; next < end; ) {
      try {
        for (const { records, nextOffset } of await this.#reader.fetch(new Map([[LETTER_PARTITION, next]]), limits)) {
          next = nextOffset
          yield { records: records.filter(({ offset }) => offset < end), next }
        }
      } catch (error) {
        if (!(error instanceof PositionOutOfRangeError) || error.logStart <= next) throw error
        next = error.logStart
      }
    }
  }
}

/** What cannot be read as a dead letter is one of the source's, with the bytes that stand there. */
export function letterOf({ offset, timestamp, value }: FetchedRecord, topics: Topics): DeadLetter {
  const bytes = value ?? Buffer.alloc(0)
  try {
    return decodeDeadLetter(bytes)
  } catch (error) {
    return undecodableLetter(topics.deadLetters, { partition: LETTER_PARTITION, offset, value: bytes, error }, null, timestamp)
  }
}
