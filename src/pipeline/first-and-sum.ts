import type { Clock } from './clock.ts'

/** So long after a line the next ones are added up. */
const SUMMED_MS = 60_000

/**
 * For lines of the log that may come by the million, all of one kind: the first is told at once, and those of the minute behind it as one line, with the
 * first of them as an example. The caller owes a `close`, which tells what is left.
 */
export class FirstAndSum<Told> {
  readonly #clock: Clock
  readonly #tell: (example: Told, count: number) => void
  #example: Told | null = null
  #count = 0
  #cancel: (() => void) | null = null
  #isClosed = false

  constructor(clock: Clock, tell: (example: Told, count: number) => void) {
    this.#clock = clock
    this.#tell = tell
  }

  /** What comes at once is one line. */
  add(told: readonly Told[]): void {
    if (told.length === 0) return
    this.#example ??= told[0] ?? null
    this.#count += told.length
    if (this.#cancel === null) this.#flush()
  }

  /** Safe at any time, also twice; what is added afterwards is told at once. */
  close(): void {
    this.#isClosed = true
    this.#cancel?.()
    this.#cancel = null
    this.#say()
  }

  /** A minute without any ends the adding up. */
  #flush(): void {
    this.#cancel = this.#say() && !this.#isClosed ? this.#clock.after(SUMMED_MS, () => this.#flush()) : null
  }

  #say(): boolean {
    const [example, count] = [this.#example, this.#count]
    this.#example = null
    this.#count = 0
    if (example === null) return false
    this.#tell(example, count)
    return true
  }
}
