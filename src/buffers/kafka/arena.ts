/** More is not kept while nothing is written. */
const MAX_KEPT_BYTES = 16 * 1024 * 1024

/**
 * Memory for what lives as long as one unit is written: given out piece by piece, and again from its start after `clear`. Made anew for
 * each unit it would be garbage that is seen late and then stops the world.
 */
export class Arena {
  #memory = Buffer.alloc(0)
  #used = 0
  /** Since `clear`, with what did not fit. */
  #wanted = 0

  readonly take = (bytes: number): Buffer => {
    this.#wanted += bytes
    if (this.#used + bytes > this.#memory.length) return Buffer.allocUnsafe(bytes)
    this.#used += bytes
    return this.#memory.subarray(this.#used - bytes, this.#used)
  }

  /** Nobody may use what was given out before. */
  clear(): void {
    if (this.#wanted > this.#memory.length) this.#memory = Buffer.allocUnsafeSlow(Math.min(this.#wanted, MAX_KEPT_BYTES))
    this.#used = 0
    this.#wanted = 0
  }
}
