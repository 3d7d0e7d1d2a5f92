import type { PartitionReader } from '../../kafka/partition-reader.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { FatalError, RetryableError } from '../../pipeline/errors.ts'
import { StateView } from './state-view.ts'

/** The one partition of the state topic: a position is one consistent log, not one log for each partition. */
export const STATE_PARTITION = 0

const PAGE_BYTES = 8 * 1024 * 1024
const POLL_MS = 500
const LOOK_AGAIN_MS = 100
/** An open transaction of another input hides what lies behind it, for the transaction time-out at most. */
const STUCK_AFTER_MS = 60_000

export const LOST_STATE_ADVICE =
  'the state is lost. Say from when the services go on with `tap-collector reset`, naming every service at once, or use another topic_prefix'

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

  /**
   * The view up to where the topic can be read now. An open transaction hides what lies behind it: that of a collector that was killed, for
   * the transaction time-out or until the next owner ends it, so nobody waits for that who need not. Throws RetryableError while the broker
   * is away, FatalError where the topic was deleted and made anew.
   */
  async refresh(): Promise<StateView> {
    // A refresh that is under way may have asked for the end before the caller's own last write.
    await this.#refreshing?.catch(() => undefined)
    this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = null))
    return this.#refreshing
  }

  /** As `refresh`, up to the topic's end at the time of the call, whatever hides it. */
  async settled(): Promise<StateView> {
    const end = await this.#offset('latest')
    const since = this.#clock.monotonic()
    for (;;) {
      const view = await this.refresh()
      if ((this.#next ?? 0) >= end) return view
      if (this.#clock.monotonic() - since > STUCK_AFTER_MS) throw stuck(this.#next ?? 0, end)
      await this.#clock.sleep(LOOK_AGAIN_MS, this.#signal)
    }
  }

  /** Everything from the start up to the end, or past the given offset, with the fingerprints of one input. Throws as `refresh`. */
  async restore(inputId: string, past: number | null): Promise<StateView> {
    const view = new StateView(inputId)
    await this.#readTo(view, await this.#offset('earliest'), past === null ? await this.#offset('latest') : past + 1)
    this.#assertKept(view)
    return view
  }

  async #refresh(): Promise<StateView> {
    const end = await this.#offset('stable')
    if (this.#next === null || end < this.#next) {
      const view = new StateView()
      const next = await this.#readTo(view, await this.#offset('earliest'), end)
      this.#assertKept(view)
      this.#view = view
      this.#next = next
    } else {
      this.#next = await this.#readTo(this.#view, this.#next, end)
    }
    return this.#view
  }

  #assertKept({ layout }: StateView): void {
    if (layout !== null || this.#view.layout === null) return
    throw new FatalError(`the state topic no longer holds what it held when this collector started: ${LOST_STATE_ADVICE}`, { code: 'KafkaStateLost' })
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
      if (this.#clock.monotonic() - movedAt > STUCK_AFTER_MS) throw stuck(next, end)
    }
    return next
  }

  async #offset(question: 'earliest' | 'latest' | 'stable'): Promise<number> {
    return (await this.#reader.offsets(question, this.#signal)).get(STATE_PARTITION) ?? 0
  }
}

function stuck(next: number, end: number): RetryableError {
  return new RetryableError(`the state topic ends at offset ${end}, and the broker has shown nothing behind ${next} for 60 s`, { code: 'KafkaUnavailable' })
}
