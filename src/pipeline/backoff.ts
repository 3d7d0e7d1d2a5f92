/** Waits that double from `firstMs` to `maxMs`, each drawn from its upper half, so that many clients do not return together. */
export class Backoff {
  #failures = 0
  readonly #firstMs: number
  readonly #maxMs: number
  readonly #random: () => number

  constructor(firstMs: number, maxMs: number, random: () => number = Math.random) {
    this.#firstMs = firstMs
    this.#maxMs = maxMs
    this.#random = random
  }

  get failures(): number {
    return this.#failures
  }

  /** The wait after one more failure, in milliseconds. */
  next(): number {
    const ceiling = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(this.#failures, 30))
    this.#failures += 1
    return ceiling / 2 + (this.#random() * ceiling) / 2
  }

  reset(): void {
    this.#failures = 0
  }
}

/** What both hops and whoever opens the buffer wait between two tries: 1 s, doubling to a minute. */
export function retryBackoff(): Backoff {
  return new Backoff(1_000, 60_000)
}
