import type { PartitionReader } from '../../kafka/partition-reader.ts'
import { decodeDeadLetter } from './dead-letter.ts'

const PAGE_BYTES = 4 * 1024 * 1024

/** How many dead letters there are, by output (null: the source's own). Each look reads only what came since the last one. */
export class DeadLetterTally {
  readonly #reader: PartitionReader
  readonly #positions = new Map<number, number>()
  readonly #counts = new Map<string | null, number>()
  #tail: Promise<unknown> = Promise.resolve()

  constructor(reader: PartitionReader) {
    this.#reader = reader
  }

  counts(): Promise<ReadonlyMap<string | null, number>> {
    const next = this.#tail.then(() => this.#count())
    this.#tail = next.catch(() => undefined)
    return next
  }

  async #count(): Promise<ReadonlyMap<string | null, number>> {
    const ends = await this.#reader.offsets('latest')
    if (this.#positions.size === 0) for (const [partition, offset] of await this.#reader.offsets('earliest')) this.#positions.set(partition, offset)
    for (;;) {
      const open = [...this.#positions].filter(([partition, offset]) => offset < (ends.get(partition) ?? 0))
      if (open.length === 0) return this.#counts
      const options = { maxBytes: PAGE_BYTES, maxWaitMs: 500, minBytes: 1, signal: new AbortController().signal }
      for (const { partition, records, nextOffset } of await this.#reader.fetch(new Map(open), options)) {
        for (const { value } of records) {
          const output = outputOf(value)
          this.#counts.set(output, (this.#counts.get(output) ?? 0) + 1)
        }
        this.#positions.set(partition, nextOffset)
      }
    }
  }
}

function outputOf(value: Buffer | null): string | null {
  try {
    return value === null ? null : decodeDeadLetter(value).output
  } catch {
    // Of a later version, or no dead letter at all; it counts with the source's.
    return null
  }
}
