import type { InternalEvent } from './internal-log.ts'

/** An output that is away may miss the rest; the log itself has everything. */
const ROOM = 1_000

export interface Taken {
  /** Oldest first. */
  readonly events: readonly InternalEvent[]
  readonly end: number
  readonly lost: number
}

/** Lines of the log that wait for one output. When it is full the oldest go, and what is taken next begins with a line that says how many. */
export class Outbox {
  readonly #tellLost: (lost: number) => InternalEvent
  #waiting: InternalEvent[] = []
  /** How many came before those that wait. */
  #gone = 0
  #lost = 0
  #wake = Promise.withResolvers<undefined>()

  constructor(tellLost: (lost: number) => InternalEvent) {
    this.#tellLost = tellLost
  }

  put(event: InternalEvent): void {
    this.#waiting.push(event)
    if (this.#waiting.length > ROOM) {
      this.#waiting.shift()
      this.#gone += 1
      this.#lost += 1
    }
    this.#wake.resolve(undefined)
  }

  /** Resolves as soon as something waits; rejects with the signal's reason. */
  async some(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#waiting.length > 0) return
    this.#wake = Promise.withResolvers()
    const { promise, reject } = this.#wake
    const abort = (): void => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /** All that waits. It goes on waiting until `arrived`. */
  take(): Taken {
    const lost = this.#lost
    return { events: lost === 0 ? [...this.#waiting] : [this.#tellLost(lost), ...this.#waiting], end: this.#gone + this.#waiting.length, lost }
  }

  arrived({ end, lost }: Taken): void {
    const arrived = Math.max(0, end - this.#gone)
    this.#waiting.splice(0, arrived)
    this.#gone += arrived
    this.#lost -= lost
  }
}
