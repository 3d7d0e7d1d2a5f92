import { randomUUID } from 'node:crypto'
import type { Cursor } from './buffer.ts'
import { FatalError } from './errors.ts'
import type { ReplayStore } from './replay-store.ts'
import { ServiceCounts } from './service-counts.ts'
import type { DeadLetter } from './unit.ts'

interface ReplayPositionsOptions {
  readonly store: ReplayStore
  /** Null: a rehearsal, of which nothing is kept. */
  readonly id: string | null
  readonly request: string
  readonly outputs: readonly string[]
}

/**
 * How far each output of a replay is, kept in the buffer's own way after every shipment. Whoever goes on with it has it: a process that was believed
 * to be dead finds that out before it saves anything more, and ends.
 */
export class ReplayPositions {
  readonly #options: ReplayPositionsOptions
  #cursors: Readonly<Record<string, Cursor>>
  readonly #kept = new WeakSet<DeadLetter>()
  readonly #refused = new Map<string, ServiceCounts>()
  readonly #run = randomUUID()
  #tail: Promise<unknown> = Promise.resolve()

  /** `saved`: where it goes on. */
  constructor(options: ReplayPositionsOptions, saved: Readonly<Record<string, Cursor>> = {}) {
    this.#options = options
    this.#cursors = Object.fromEntries(options.outputs.map((output) => [output, saved[output] ?? options.store.begin]))
  }

  cursorOf(output: string): Cursor {
    return this.#cursors[output] ?? this.#options.store.begin
  }

  isDone(output: string): boolean {
    return this.cursorOf(output) === this.#options.store.end
  }

  /** What the output, or a transform of it, has refused for good. */
  refusedBy(output: string): ServiceCounts {
    let counts = this.#refused.get(output)
    if (counts === undefined) this.#refused.set(output, (counts = new ServiceCounts()))
    return counts
  }

  /** Makes it known under its id, and ours, before anything is sent. */
  async begin(): Promise<void> {
    await this.#inTurn(() => this.#save(this.#cursors))
  }

  /**
   * First the letters: a kill between the two keeps one twice and loses none. A commit that is tried again brings the same ones. Throws FatalError
   * where another process goes on with the replay.
   */
  async commit(output: string, cursor: Cursor, deadLetters: readonly DeadLetter[]): Promise<void> {
    await this.#inTurn(async () => {
      const { store, id } = this.#options
      if (id !== null && (await store.load(id))?.run !== this.#run)
        throw new FatalError(`another process goes on with the replay ${id}, or has ended it; this one leaves it to that`, { code: 'ReplayTakenOver' })
      const letters = deadLetters.filter((letter) => !this.#kept.has(letter))
      if (letters.length > 0 && id !== null) await store.keep(output, letters)
      for (const letter of letters) {
        this.#kept.add(letter)
        this.refusedBy(output).add(letter, 1)
      }
      const cursors = { ...this.#cursors, [output]: cursor }
      await this.#save(cursors)
      this.#cursors = cursors
    })
  }

  /** It has come to its end, and there is nothing to go on with. */
  async forget(): Promise<void> {
    const { store, id } = this.#options
    if (id !== null) await this.#inTurn(() => store.remove(id))
  }

  async #save(cursors: Readonly<Record<string, Cursor>>): Promise<void> {
    const { store, id, request } = this.#options
    if (id !== null) await store.save(id, { request, run: this.#run, cursors })
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const next = this.#tail.then(work)
    this.#tail = next.catch(() => undefined)
    await next
  }
}
