import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../src/pipeline/clock.ts'

interface Timer {
  readonly at: number
  readonly order: number
  readonly fire: () => void
}

/**
 * A clock that stands still while there is work and jumps to the next timer when there is none, so that a month takes seconds.
 * `run` drives it. Whatever waits on real sockets or threads is not seen as work: give it in-memory streams only.
 */
export class VirtualClock implements Clock {
  #now: number
  #monotonic = 0
  #wallOffset = 0
  #timers: Timer[] = []
  #order = 0
  /** Turns of the event loop without a new timer before time goes on. */
  readonly #idleTurns: number

  constructor(start: number, { idleTurns = 12 }: { readonly idleTurns?: number } = {}) {
    this.#now = start
    this.#idleTurns = idleTurns
  }

  readonly now = (): number => this.#now + this.#wallOffset

  readonly monotonic = (): number => this.#monotonic

  /** True time, whatever the wall clock shows: for the remote side. */
  readonly trueTime = (): number => this.#now

  /** Sets the wall clock wrong by so much; neither true time nor the monotonic clock sees it. */
  skewWall(ms: number): void {
    this.#wallOffset = ms
  }

  get pendingTimers(): number {
    return this.#timers.length
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(reasonOf(signal))
        return
      }
      const cancel = this.after(ms, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      const onAbort = (): void => {
        cancel()
        if (signal !== undefined) reject(reasonOf(signal))
      }
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  after(ms: number, callback: () => void): () => void {
    const timer: Timer = { at: this.#monotonic + Math.max(0, ms), order: this.#order++, fire: callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** Moves time by exactly `ms`, firing what falls due on the way. */
  async advance(ms: number): Promise<void> {
    await this.#settle()
    const end = this.#monotonic + ms
    for (;;) {
      const next = this.#next()
      if (next === null || next.at > end) break
      this.#fire(next)
      await this.#settle()
    }
    this.#moveTo(end)
    await this.#settle()
  }

  /** Lets time run from timer to timer until `work` has settled; throws where it never can because nothing waits for time. */
  async run<T>(work: Promise<T>): Promise<T> {
    const state: { isSettled: boolean } = { isSettled: false }
    const settle = (): void => {
      state.isSettled = true
    }
    work.then(settle, settle)
    let stuck = 0
    for (;;) {
      await this.#settle()
      if (state.isSettled) return work
      const next = this.#next()
      if (next === null) {
        stuck += 1
        if (stuck > 200) throw new Error('the virtual clock has no timer left, and the work has not ended')
        continue
      }
      stuck = 0
      this.#fire(next)
    }
  }

  async #settle(): Promise<void> {
    for (let turns = 0; turns < this.#idleTurns; turns += 1) await turn()
  }

  #next(): Timer | null {
    return this.#timers.reduce<Timer | null>(
      (first, timer) => (first === null || timer.at < first.at || (timer.at === first.at && timer.order < first.order) ? timer : first),
      null,
    )
  }

  #fire(timer: Timer): void {
    this.#timers = this.#timers.filter((other) => other !== timer)
    this.#moveTo(timer.at)
    timer.fire()
  }

  #moveTo(monotonic: number): void {
    if (monotonic <= this.#monotonic) return
    this.#now += monotonic - this.#monotonic
    this.#monotonic = monotonic
  }
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal.reason })
}
