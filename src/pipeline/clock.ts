import { setTimeout as sleep } from 'node:timers/promises'

/** Time and timers, one of the four seams: everything that waits asks this, so that a simulation can run a month in seconds. */
export interface Clock {
  /** Wall clock, epoch milliseconds. May jump; use it for what a person reads. */
  now(): number
  /** Milliseconds that never go backwards. Use it to measure. */
  monotonic(): number
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls back once after `ms`; the caller owes a call of the returned cancel when it no longer wants it. */
  after(ms: number, callback: () => void): () => void
}

/** Node's longest timer; a longer one would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    try {
      await sleep(Math.min(Math.max(ms, 0), LONGEST_TIMER_MS), undefined, { signal })
    } catch (error) {
      signal?.throwIfAborted()
      throw error
    }
  },
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS))
    return () => clearTimeout(timer)
  },
}
