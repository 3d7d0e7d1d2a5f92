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

  /** Forgets a part and all below it (`part/...`): whoever waited there has ended. */
  clearBelow(part: string): void {
    for (const known of [...this.#reasons.keys()]) if (isBelow(known, part)) this.#reasons.delete(known)
  }

  list(): { readonly part: string; readonly reason: string; readonly since: number }[] {
    return [...this.#reasons].map(([part, entry]) => ({ part, ...entry }))
  }
}

/** True for the part itself and for what stands below it. */
export function isBelow(part: string, above: string): boolean {
  return part === above || part.startsWith(`${above}/`)
}
