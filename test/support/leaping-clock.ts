import { systemClock, type Clock } from '../../src/pipeline/clock.ts'

/** Real time that can leap ahead: whoever has waited for less than the leap is done at once. */
export class LeapingClock implements Clock {
  readonly #waiting = new Set<{ readonly due: number; readonly end: () => void }>()
  #aheadMs = 0

  leap(ms: number): void {
    this.#aheadMs += ms
    for (const { due, end } of [...this.#waiting]) if (due <= this.monotonic()) end()
  }

  readonly now = (): number => systemClock.now() + this.#aheadMs

  readonly monotonic = (): number => systemClock.monotonic() + this.#aheadMs

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const onAbort = (): void => {
        cancel()
        reject(signal?.reason as Error) // as systemClock's does, with whatever the signal was aborted with
      }
      const cancel = this.after(ms, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  after(ms: number, callback: () => void): () => void {
    const cancel = (): void => {
      this.#waiting.delete(entry)
      cancelTimer()
    }
    const entry = {
      due: this.monotonic() + ms,
      end: (): void => {
        cancel()
        callback()
      },
    }
    this.#waiting.add(entry)
    const cancelTimer = systemClock.after(ms, entry.end)
    return cancel
  }
}
