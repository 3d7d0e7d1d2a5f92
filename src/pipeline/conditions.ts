import type { CodeName } from './codes.ts'
import { codeOf } from './errors.ts'

/** Why parts of the collector cannot make progress now; `/readyz` lists it. One reason for each part, the latest. */
export class Conditions {
  readonly #reasons = new Map<string, Condition & { readonly isError: boolean }>()
  readonly #past = new Map<string, PastError>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  /**
   * `part` is `input/service`, `output` or `buffer`. Setting the same reason again keeps its start. Returns true where it is news.
   * The code of `err` counts more than `code`, as in the log; null: what is no trouble has none, and is not remembered when it is over.
   */
  set(part: string, reason: string, { code, err }: { readonly code: CodeName | null; readonly err?: unknown }): boolean {
    const known = this.#reasons.get(part)
    if (known?.reason === reason) return false
    this.#reasons.set(part, { reason, code: codeOf(err) ?? code, since: known?.since ?? this.#now(), isError: code !== null })
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

  list(): (Condition & { readonly part: string })[] {
    return [...this.#reasons].map(([part, { reason, code, since }]) => ({ part, reason, code, since }))
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
    if (known.isError) this.#past.set(part, { reason: known.reason, code: known.code, since: known.since, endedAt: this.#now() })
  }
}

/** Times in epoch milliseconds. */
export interface Condition {
  readonly reason: string
  /** Which row of docs/errors.md explains it. */
  readonly code: CodeName | null
  readonly since: number
}

export interface PastError extends Condition {
  readonly endedAt: number
}

/** True for the part itself and for what stands below it. */
export function isBelow(part: string, above: string): boolean {
  return part === above || part.startsWith(`${above}/`)
}
