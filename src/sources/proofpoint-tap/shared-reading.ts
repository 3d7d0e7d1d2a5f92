import { MalformedResponseError } from './malformed.ts'
import type { ArrayCounts, ResponsePart, ResponseSummary } from './response.ts'
import type { WindowReading } from './window-reading.ts'

const NOTHING: ArrayCounts = { received: 0, duplicates: 0, invalidUtf8: 0 }

interface Reader {
  untaken: ResponsePart | null
  readonly closed: PromiseWithResolvers<null>
}

/**
 * One answer, read by several services at once, each for its own array. Nothing is read before somebody asks for it, and nothing more while another
 * service has a part to take: at most one part for each waits here. Who has read enough owes a `close`; the last one ends the reading.
 */
export class SharedReading {
  readonly #reading: WindowReading
  /** Of those who still read, by array. */
  readonly #readers: Map<string, Reader>
  #summary: ResponseSummary | null = null
  #failure: { readonly error: unknown } | null = null
  #step: Promise<unknown> | null = null
  #moved = Promise.withResolvers<null>()

  constructor(reading: WindowReading, arrays: Iterable<string>) {
    this.#reading = reading
    this.#readers = new Map([...arrays].map((array) => [array, { untaken: null, closed: Promise.withResolvers<null>() }]))
  }

  get tookMs(): number {
    return this.#reading.tookMs
  }

  /** Valid once `next` has given null. */
  get bytes(): number {
    return this.#summary?.bytes ?? 0
  }

  /** Valid once `next` has given null. */
  get queryEndTime(): number | null {
    return this.#summary?.queryEndTime ?? null
  }

  /** Valid once `next` has given null. */
  counts(array: string): ArrayCounts {
    return this.#summary?.arrays.get(array) ?? NOTHING
  }

  /** Whether the answer was whole, but not for this array. */
  lacks(array: string): boolean {
    return this.#summary?.problems.has(array) ?? false
  }

  /**
   * The array's next part; null: the answer has been read whole. Throws what the reading does, MalformedResponseError where the array lacks, and
   * an error where it is closed meanwhile.
   */
  async next(array: string): Promise<ResponsePart | null> {
    for (;;) {
      const reader = this.#readers.get(array)
      if (reader === undefined) throw new Error(`the answer is no longer read for ${array}`)
      const { untaken } = reader
      if (untaken !== null) {
        reader.untaken = null
        this.#move()
        return untaken
      }
      if (this.#failure !== null) throw this.#failure.error
      if (this.#summary !== null) {
        const problem = this.#summary.problems.get(array)
        if (problem !== undefined) throw new MalformedResponseError(problem)
        return null
      }
      this.#step ??= this.#read().finally(() => {
        this.#step = null
      })
      await Promise.race([this.#step, reader.closed.promise])
    }
  }

  async close(array: string): Promise<void> {
    this.#readers.get(array)?.closed.resolve(null)
    if (!this.#readers.delete(array)) return
    this.#move()
    if (this.#readers.size === 0) await this.#reading.close()
  }

  /** Reads one part as soon as all others are taken. */
  async #read(): Promise<void> {
    while ([...this.#readers.values()].some(({ untaken }) => untaken !== null)) await this.#moved.promise
    try {
      const part = await this.#reading.next()
      if (part === null) this.#summary = this.#reading.summary
      else {
        const reader = this.#readers.get(part.array)
        if (reader !== undefined) reader.untaken = part
      }
    } catch (error) {
      this.#failure = { error }
    }
  }

  #move(): void {
    this.#moved.resolve(null)
    this.#moved = Promise.withResolvers<null>()
  }
}
