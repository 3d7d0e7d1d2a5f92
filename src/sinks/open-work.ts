/**
 * What a sink has under way, shipments and checks: each ends with the work itself, or, whatever the work is doing, with its signal or the sink's
 * `close`.
 */
export class OpenWork {
  readonly #closing = new AbortController()
  readonly #open = new Set<Promise<void>>()

  /** Aborts when the sink is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /**
   * `own` aborts with the signal and with the close; `aborted` rejects then, for the work to race against. What `work` does after that is waited for by
   * `close`. Rejects with what the work has thrown.
   */
  async run(signal: AbortSignal, work: (own: AbortSignal, aborted: Promise<never>) => Promise<void>): Promise<void> {
    const running = this.#run(signal, work)
    this.#open.add(running)
    try {
      await running
    } finally {
      this.#open.delete(running)
    }
  }

  /** Resolves when nothing is under way any more. May be called twice. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the output was closed'))
    await Promise.allSettled(this.#open)
  }

  async #run(signal: AbortSignal, work: (own: AbortSignal, aborted: Promise<never>) => Promise<void>): Promise<void> {
    const own = new AbortController()
    const aborted = Promise.withResolvers<never>()
    // Whoever does not race against it any more has heard of it by `own`.
    aborted.promise.catch(() => undefined)
    const sources = [signal, this.#closing.signal]
    const abort = (): void => {
      const reason: unknown = sources.find((source) => source.aborted)?.reason
      const error = reason instanceof Error ? reason : new Error('the shipment was given up')
      own.abort(error)
      aborted.reject(error)
    }
    for (const source of sources) source.addEventListener('abort', abort)
    try {
      if (sources.some((source) => source.aborted)) abort()
      own.signal.throwIfAborted()
      await work(own.signal, aborted.promise)
    } finally {
      for (const source of sources) source.removeEventListener('abort', abort)
    }
  }
}
