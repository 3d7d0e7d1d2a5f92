import { createHash, type Hash } from 'node:crypto'
import type { VirtualClock } from '../support/virtual-clock.ts'

/** What has happened in a run, in its order. Two runs of one plan have the same digest, or something in them is not driven by the plan. */
export class Trace {
  readonly #clock: VirtualClock
  readonly #digest: Hash = createHash('sha256')
  readonly #keep: number
  readonly #focus: RegExp | null
  #lines: string[] = []
  #count = 0

  /** `keep`: how many of the last lines stay to be shown, of those that match `focus`. */
  constructor(clock: VirtualClock, keep: number, focus: RegExp | null) {
    this.#clock = clock
    this.#keep = keep
    this.#focus = focus
  }

  get count(): number {
    return this.#count
  }

  get lines(): readonly string[] {
    return this.#lines.slice(-this.#keep)
  }

  /** Ends the digest. */
  digest(): string {
    return this.#digest.digest('hex')
  }

  readonly add = (text: string): void => {
    const line = `${new Date(this.#clock.trueTime()).toISOString()} ${text}`
    this.#count += 1
    this.#digest.update(line).update('\n')
    if (this.#keep === 0 || this.#focus?.test(line) === false) return
    this.#lines.push(line)
    if (this.#lines.length > 2 * this.#keep) this.#lines = this.#lines.slice(-this.#keep)
  }
}
