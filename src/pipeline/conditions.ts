/** Why parts of the collector cannot make progress now; `/readyz` lists it. One reason for each part, the latest. */
export class Conditions {
  readonly #reasons = new Map<string, { readonly reason: string; readonly since: number }>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  /** `part` is `input/service`, `output` or `buffer`. Setting the same reason again keeps its start. Returns true where it is news. */
  set(part: string, reason: string): boolean {
    const known = this.#reasons.get(part)
    if (known?.reason === reason) return false
    this.#reasons.set(part, { reason, since: known?.since ?? this.#now() })
    return true
  }

  /** Returns how long the part had been waiting in milliseconds, or null where it had not. */
  clear(part: string): number | null {
    const known = this.#reasons.get(part)
    this.#reasons.delete(part)
    return known === undefined ? null : this.#now() - known.since
  }

  list(): { readonly part: string; readonly reason: string; readonly since: number }[] {
    return [...this.#reasons].map(([part, entry]) => ({ part, ...entry }))
  }
}
