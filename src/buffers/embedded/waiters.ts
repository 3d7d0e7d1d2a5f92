import type { LogEnds } from './chunks.ts'

interface Waiter {
  readonly chunk: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Those who wait for the next chunk. This process is the only writer, so nobody has to poll. */
export class Waiters {
  readonly #waiting = new Set<Waiter>()
  #ends: LogEnds
  #closed: Error | null = null

  constructor(ends: LogEnds) {
    this.#ends = ends
  }

  update(ends: LogEnds): void {
    this.#ends = ends
    for (const waiter of this.#waiting) if (this.#isBeyond(waiter.chunk)) waiter.resolve()
  }

  /** Resolves once a chunk lies behind this one; rejects with the signal's reason, or when the buffer closes. */
  async wait(chunk: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#closed !== null) throw this.#closed
    if (this.#isBeyond(chunk)) return
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const waiter: Waiter = { chunk, resolve: () => resolve(undefined), reject }
    const onAbort = () => reject(signal.reason)
    this.#waiting.add(waiter)
    signal.addEventListener('abort', onAbort)
    try {
      await promise
    } finally {
      this.#waiting.delete(waiter)
      signal.removeEventListener('abort', onAbort)
    }
  }

  close(error: Error): void {
    this.#closed = error
    for (const waiter of this.#waiting) waiter.reject(error)
  }

  /** Where all behind the cursor has been removed there is nothing to read. */
  #isBeyond(chunk: number): boolean {
    return this.#ends.appendedChunk > Math.max(chunk, this.#ends.removedChunk)
  }
}
