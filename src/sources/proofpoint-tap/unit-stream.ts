import { Readable } from 'node:stream'
import type { Unit } from '../../pipeline/unit.ts'

/**
 * A Readable over a generator of units. Unlike `Readable.from` it tells the generator at once when nobody wants its units any more, also
 * while it waits for an answer or for time to pass, and it is closed only when the generator has ended.
 */
export class UnitStream extends Readable {
  readonly #units: AsyncGenerator<Unit, void, undefined>
  readonly #stop = new AbortController()
  readonly #detach: () => void

  constructor(read: (signal: AbortSignal) => AsyncGenerator<Unit, void, undefined>, signal: AbortSignal) {
    super({ objectMode: true, highWaterMark: 1 })
    this.#units = read(this.#stop.signal)
    const abort = (): void => {
      this.destroy(signal.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal.reason }))
    }
    this.#detach = () => signal.removeEventListener('abort', abort)
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) process.nextTick(abort)
  }

  override _read(): void {
    this.#units.next().then(
      ({ done, value }) => this.push(done === true ? null : value),
      (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
    )
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#detach()
    this.#stop.abort(error ?? new Error('the units are no longer wanted'))
    const done = (): void => callback(error)
    this.#units.return().then(done, done)
  }
}
