import type { Clock } from './clock.ts'

/** Lets so many events a second pass, evenly: what was not used is not made up for. */
export class Pace {
  readonly #msPerEvent: number
  readonly #clock: Clock
  #next = 0

  constructor(eventsPerSecond: number, clock: Clock) {
    this.#msPerEvent = 1_000 / eventsPerSecond
    this.#clock = clock
  }

  /** Resolves when these events may go, after all that was asked for before; rejects with the signal's reason. */
  async take(events: number, signal: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic()
    const at = Math.max(now, this.#next)
    this.#next = at + events * this.#msPerEvent
    if (at > now) await this.#clock.sleep(at - now, signal)
  }
}
