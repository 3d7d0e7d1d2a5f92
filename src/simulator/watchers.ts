interface Watcher {
  readonly condition: () => boolean
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Those who wait for something to become true of a server. The server owes a call of `look` after everything that happens to it. */
export class Watchers {
  readonly #waiting = new Set<Watcher>()
  #end: Error | null = null

  /** Resolves as soon as the condition holds; rejects when the server stops first, or did before. */
  async until(condition: () => boolean): Promise<void> {
    if (condition()) return
    if (this.#end !== null) throw this.#end
    await new Promise<void>((resolve, reject) => this.#waiting.add({ condition, resolve, reject }))
  }

  look(): void {
    for (const watcher of this.#waiting) {
      if (!watcher.condition()) continue
      this.#waiting.delete(watcher)
      watcher.resolve()
    }
  }

  /** Safe at any time, also twice. */
  end(reason: Error): void {
    this.#end ??= reason
    for (const { reject } of this.#waiting) reject(reason)
    this.#waiting.clear()
  }
}
