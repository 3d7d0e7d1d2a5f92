import { MalformedResponseError } from './malformed.ts'
import type { ArrayCounts, ResponsePart, ResponseSummary } from './response.ts'
import type { WindowReading } from './window-reading.ts'

const NOTHING: ArrayCounts = { received: 0, duplicates: 0, invalidUtf8: 0 }

interface Reader {
  readonly arrays: readonly string[]
  untaken: ResponsePart | null
  readonly closed: PromiseWithResolvers<null>
}

/**
 * One answer, read by several services at once, each for its own arrays. Nothing is read before somebody asks for it, and nothing more while another
 * service has a part to take: at most one part for each waits here. Who has read enough owes a `close`; the last one ends the reading.
 */
export class SharedReading {
  readonly #reading: WindowReading
  /** Of those who still read, by service. */
  readonly #readers: Map<string, Reader>
  readonly #arrays: ReadonlyMap<string, readonly string[]>
  #summary: ResponseSummary | null = null
  #failure: { readonly error: unknown } | null = null
  #step: Promise<unknown> | null = null
  #moved = Promise.withResolvers<null>()

  /** `arrays`: those of each service. */
  constructor(reading: WindowReading, arrays: ReadonlyMap<string, readonly string[]>) {
    this.#reading = reading
    this.#arrays = arrays
    this.#readers = new Map([...arrays].map(([service, own]) => [service, { arrays: own, untaken: null, closed: Promise.withResolvers<null>() }]))
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
  counts(service: string): ArrayCounts {
    return this.#arraysOf(service)
      .map((array) => this.#summary?.arrays.get(array) ?? NOTHING)
      .reduce((sum, { received, duplicates, invalidUtf8 }) => ({
        received: sum.received + received,
        duplicates: sum.duplicates + duplicates,
        invalidUtf8: sum.invalidUtf8 + invalidUtf8,
      }))
  }

  /** Whether the answer was whole, but not for this service. */
  lacks(service: string): boolean {
    return this.#problemOf(service) !== undefined
  }

  /**
   * The service's next part; null: the answer has been read whole. Throws what the reading does, MalformedResponseError where an array lacks, and
   * an error where it is closed meanwhile.
   */
  async next(service: string): Promise<ResponsePart | null> {
    for (;;) {
      const reader = this.#readers.get(service)
      if (reader === undefined) throw new Error(`the answer is no longer read for ${service}`)
      const { untaken } = reader
      if (untaken !== null) {
        reader.untaken = null
        this.#move()
        return untaken
      }
      if (this.#failure !== null) throw this.#failure.error
      if (this.#summary !== null) {
        const problem = this.#problemOf(service)
        if (problem !== undefined) throw new MalformedResponseError(problem)
        return null
      }
      this.#step ??= this.#read().finally(() => {
        this.#step = null
      })
      await Promise.race([this.#step, reader.closed.promise])
    }
  }

  async close(service: string): Promise<void> {
    this.#readers.get(service)?.closed.resolve(null)
    if (!this.#readers.delete(service)) return
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
        const reader = [...this.#readers.values()].find(({ arrays }) => arrays.includes(part.array))
        if (reader !== undefined) reader.untaken = part
      }
    } catch (error) {
      this.#failure = { error }
    }
  }

  #arraysOf(service: string): readonly string[] {
    return this.#arrays.get(service) ?? []
  }

  #problemOf(service: string): string | undefined {
    return this.#arraysOf(service).map((array) => this.#summary?.problems.get(array)).find((problem) => problem !== undefined)
  }

  #move(): void {
    this.#moved.resolve(null)
    this.#moved = Promise.withResolvers<null>()
  }
}
