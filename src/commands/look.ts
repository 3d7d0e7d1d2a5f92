import type { BufferSnapshot, EventBuffer } from '../pipeline/buffer.ts'
import { systemClock } from '../pipeline/clock.ts'

/** What a probe waits for; whoever asks for metrics mostly waits longer. */
const ANSWER_WITHIN_MS = 2_000
/** Several who ask in a row get the same answer: the buffer has other work. */
const GOOD_FOR_MS = 1_000

/** Looks into the collector's own buffer for whoever asks how it stands: one look at a time, however many ask, and nobody waits long. */
export class BufferLook {
  readonly #buffer: () => EventBuffer | null
  #running: Promise<BufferSnapshot> | null = null
  #latest: BufferSnapshot | null = null
  #takenAt = -Infinity
  #latestAt: number | null = null

  /** `buffer` gives null while it is not open. */
  constructor(buffer: () => EventBuffer | null) {
    this.#buffer = buffer
  }

  get isOpen(): boolean {
    return this.#buffer() !== null
  }

  /** What the last look that came to its end has found, null before the first. What the buffer does not answer now has hardly changed. */
  get latest(): BufferSnapshot | null {
    return this.#latest
  }

  /** When that was, epoch milliseconds. */
  get latestAt(): number | null {
    return this.#latestAt
  }

  /** Null where the buffer is not open, or does not answer in time. */
  async take(): Promise<BufferSnapshot | null> {
    const buffer = this.#buffer()
    if (buffer === null) return null
    if (this.#latest !== null && systemClock.monotonic() - this.#takenAt < GOOD_FOR_MS) return this.#latest
    const late = Promise.withResolvers<null>()
    const cancel = systemClock.after(ANSWER_WITHIN_MS, () => late.resolve(null))
    try {
      this.#running ??= this.#look(buffer)
      return await Promise.race([this.#running.catch(() => null), late.promise])
    } finally {
      cancel()
    }
  }

  async #look(buffer: EventBuffer): Promise<BufferSnapshot> {
    try {
      const snapshot = await buffer.snapshot()
      this.#latest = snapshot
      this.#takenAt = systemClock.monotonic()
      this.#latestAt = systemClock.now()
      return snapshot
    } finally {
      this.#running = null
    }
  }
}
