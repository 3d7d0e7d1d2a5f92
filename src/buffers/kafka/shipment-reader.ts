import type { FetchedPartition, PartitionReader } from '../../kafka/partition-reader.ts'
import type { BatchStream, ReadRange } from '../../pipeline/buffer.ts'
import { countEvents } from '../../pipeline/event.ts'
import { StepStream, type BatchStep } from '../../pipeline/step-stream.ts'
import { batchesOf, type Step, type Undecodable } from './batches.ts'
import { cursorOf, parseCursor } from './cursor.ts'

const PAGE_BYTES = 4 * 1024 * 1024
/** A commit is answered before its events can be read; this is how long one look waits for them. */
const LOOK_MS = 200

/** Who reads the events topic. */
export type EventReader = Pick<PartitionReader, 'fetch'>

/**
 * The events of one shipment: fetched page by page, up to `to`, to a limit, or to the log's end when it first looked. It waits for what is
 * appended and cannot be read yet, but never while it has something to ship. The next page is
 * fetched while one is handed out, so that at most two are in memory.
 */
export function readShipment(reader: EventReader, range: ReadRange, onUndecodable: (record: Undecodable) => void): BatchStream {
  return new StepStream(range.from, new ShipmentReader(reader, range, onUndecodable).steps(), range.signal)
}

class ShipmentReader {
  readonly #reader: EventReader
  readonly #onUndecodable: (record: Undecodable) => void
  readonly #signal: AbortSignal
  /** Behind what was handed out, and behind what was fetched. */
  readonly #handedOut: Map<number, number>
  readonly #fetched: Map<number, number>
  /** Where each partition ends for this shipment: `to`, or the log's end at the first look. */
  readonly #ends: Map<number, number>
  #eventsLeft: number
  #bytesLeft: number
  readonly #hasLimits: boolean
  #isEmpty = true
  #isLast = false

  constructor(reader: EventReader, range: ReadRange, onUndecodable: (record: Undecodable) => void) {
    this.#reader = reader
    this.#onUndecodable = onUndecodable
    this.#signal = range.signal
    this.#handedOut = parseCursor(range.from)
    this.#fetched = new Map(this.#handedOut)
    this.#ends = range.to === undefined ? new Map<number, number>() : parseCursor(range.to)
    this.#hasLimits = range.to === undefined
    // A retry ends where its first attempt did, whatever the limits say of chunks that are cut anew.
    this.#eventsLeft = range.to === undefined ? range.maxEvents : Infinity
    this.#bytesLeft = range.to === undefined ? range.maxBytes : Infinity
  }

  async *steps(): AsyncGenerator<BatchStep, void, undefined> {
    let pages = await this.#fetch()
    while (pages !== null && !this.#isStuck(pages)) {
      const steps = pages.flatMap((page) => this.#stepsOf(page))
      const coming = this.#isLast ? null : this.#fetch()
      // Handled where it is awaited; a reader that is given up before never gets there.
      coming?.catch(() => undefined)
      for (const { partition, next, batch } of steps) {
        this.#handedOut.set(partition, next)
        yield { batch, cursor: cursorOf(this.#handedOut) }
      }
      pages = await coming
    }
  }

  /** Nothing came, and there is something to ship. */
  #isStuck(pages: readonly FetchedPartition[]): boolean {
    return this.#hasLimits && !this.#isEmpty && pages.every(({ partition, nextOffset }) => nextOffset === this.#fetched.get(partition))
  }

  #stepsOf(page: FetchedPartition): (Step & { readonly partition: number })[] {
    const { partition } = page
    const end = this.#ends.get(partition) ?? page.highWatermark
    this.#ends.set(partition, end)
    this.#fetched.set(partition, Math.min(page.nextOffset, Math.max(end, this.#fetched.get(partition) ?? 0)))
    const steps: (Step & { readonly partition: number })[] = []
    for (const step of batchesOf(page, end, () => ({ events: this.#eventsLeft, bytes: this.#bytesLeft }), this.#onUndecodable)) {
      if (step.batch !== null && !this.#fits(countEvents(step.batch), step.batch.lines.length)) break
      steps.push({ ...step, partition })
    }
    return steps
  }

  /** A shipment holds at least one chunk. Once one does not fit, no later and smaller one is taken, of no partition. */
  #fits(events: number, bytes: number): boolean {
    if (!this.#isEmpty && (this.#isLast || events > this.#eventsLeft || bytes > this.#bytesLeft)) {
      this.#isLast = true
      return false
    }
    this.#isEmpty = false
    this.#eventsLeft -= events
    this.#bytesLeft -= bytes
    return true
  }

  /** Null where every partition is at its end. */
  async #fetch(): Promise<readonly FetchedPartition[] | null> {
    const open = [...this.#fetched].filter(([partition, offset]) => offset < (this.#ends.get(partition) ?? Infinity))
    if (open.length === 0) return null
    return this.#reader.fetch(new Map(open), { maxBytes: PAGE_BYTES, maxWaitMs: this.#ends.size === 0 ? 0 : LOOK_MS, minBytes: 1, signal: this.#signal })
  }
}
