import type { Clock } from '../../src/pipeline/clock.ts'

/** Time that moves only when it is told to. */
export class ManualClock implements Clock {
  #now = 1_700_000_000_000
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>()

  get pendingTimers(): number {
    return this.#timers.size
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    const done = Promise.withResolvers<null>()
    const cancel = this.after(ms, () => done.resolve(null))
    const abort = (): void => {
      cancel()
      done.reject(signal?.reason)
    }
    signal?.addEventListener('abort', abort)
    await done.promise.finally(() => signal?.removeEventListener('abort', abort))
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Timers fire in the order of their time, also those that are set on the way. */
  advance(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const [next] = [...this.#timers].filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = next.at
      next.callback()
    }
    this.#now = until
  }
}
