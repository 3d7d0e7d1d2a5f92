/** Why parts of the collector cannot make progress now; `/readyz` lists it. One reason for each part, the latest. */
export class Conditions {
  readonly #reasons = new Map<string, { readonly reason: string; readonly since: number; readonly isError: boolean }>()
  readonly #past = new Map<string, PastError>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  /**
   * `part` is `input/service`, `output` or `buffer`. Setting the same reason again keeps its start. Returns true where it is news.
   * What is no error is not remembered when it is over.
   */
  set(part: string, reason: string, { isError = true } = {}): boolean {
    const known = this.#reasons.get(part)
    if (known?.reason === reason) return false
    this.#reasons.set(part, { reason, since: known?.since ?? this.#now(), isError })
    return true
  }

  /** Returns how long the part had been waiting in milliseconds, or null where it had not. */
  clear(part: string): number | null {
    const known = this.#reasons.get(part)
    this.#end(part)
    return known === undefined ? null : this.#now() - known.since
  }

  /** Forgets a part and all below it (`part/...`): whoever waited there has ended. */
  clearBelow(part: string): void {
    for (const known of [...this.#reasons.keys()]) if (isBelow(known, part)) this.#end(known)
  }

  list(): { readonly part: string; readonly reason: string; readonly since: number }[] {
    return [...this.#reasons].map(([part, { reason, since }]) => ({ part, reason, since }))
  }

  /** Of a part and all below it the last error that is over. */
  past(part: string): PastError | null {
    let last: PastError | null = null
    for (const [known, error] of this.#past) if (isBelow(known, part) && error.endedAt >= (last?.endedAt ?? 0)) last = error
    return last
  }

  #end(part: string): void {
    const known = this.#reasons.get(part)
    if (known === undefined) return
    this.#reasons.delete(part)
    if (known.isError) this.#past.set(part, { reason: known.reason, since: known.since, endedAt: this.#now() })
  }
}

/** Times in epoch milliseconds. */
export interface PastError {
  readonly reason: string
  readonly since: number
  readonly endedAt: number
}

/** True for the part itself and for what stands below it. */
export function isBelow(part: string, above: string): boolean {
  return part === above || part.startsWith(`${above}/`)
}
