import type { PartitionReader } from '../../kafka/partition-reader.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import { StateView } from './state-view.ts'

/** The one partition of the state topic: a position is one consistent log, not one log for each partition. */
export const STATE_PARTITION = 0

const PAGE_BYTES = 8 * 1024 * 1024
const POLL_MS = 500
/** An open transaction of another input hides what lies behind it, for the transaction time-out at most. */
const STUCK_AFTER_MS = 60_000

/** Reads the state topic: on and on into one view that all may look at, and from its start for a restore. */
export class StateLog {
  readonly #reader: PartitionReader
  readonly #clock: Clock
  readonly #signal: AbortSignal
  #view = new StateView()
  #next: number | null = null
  #refreshing: Promise<StateView> | null = null

  constructor(reader: PartitionReader, clock: Clock, signal: AbortSignal) {
    this.#reader = reader
    this.#clock = clock
    this.#signal = signal
  }

  /** The view up to the topic's end at the time of the call. Throws RetryableError while the broker is away. */
  async refresh(): Promise<StateView> {
    // A refresh that is under way may have asked for the end before the caller's own last write.
    await this.#refreshing?.catch(() => undefined)
    this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = null))
    return this.#refreshing
  }

  /** Everything from the start up to the end, or past the given offset, with the fingerprints of one input. */
  async restore(inputId: string, past: number | null): Promise<StateView> {
    const view = new StateView(inputId)
    const end = past === null ? await this.#end() : past + 1
    await this.#readTo(view, await this.#start(), end)
    return view
  }

  /** What can be read without waiting for an open transaction, from the start. */
  async peek(): Promise<StateView> {
    const view = new StateView()
    await this.#readTo(view, await this.#start(), (await this.#reader.offsets('stable')).get(STATE_PARTITION) ?? 0)
    return view
  }

  async #refresh(): Promise<StateView> {
    const end = await this.#end()
    this.#next = await this.#readTo(this.#view, this.#next ?? (await this.#start()), end)
    return this.#view
  }

  async #readTo(view: StateView, from: number, end: number): Promise<number> {
    let next = from
    let movedAt = this.#clock.monotonic()
    while (next < end) {
      const options = { maxBytes: PAGE_BYTES, maxWaitMs: POLL_MS, minBytes: 1, signal: this.#signal }
      for (const page of await this.#reader.fetch(new Map([[STATE_PARTITION, next]]), options)) {
        for (const { key, value } of page.records) if (key !== null) view.apply(key.toString(), value)
        if (page.nextOffset > next) movedAt = this.#clock.monotonic()
        next = page.nextOffset
      }
      if (this.#clock.monotonic() - movedAt > STUCK_AFTER_MS)
        throw new RetryableError(`the state topic ends at offset ${end}, and the broker has shown nothing behind ${next} for 60 s`)
    }
    return next
  }

  async #start(): Promise<number> {
    return (await this.#reader.offsets('earliest')).get(STATE_PARTITION) ?? 0
  }

  async #end(): Promise<number> {
    return (await this.#reader.offsets('latest')).get(STATE_PARTITION) ?? 0
  }
}
