import { addAbortSignal, Readable } from 'node:stream'
import type { FetchedPartition, PartitionReader } from '../../kafka/partition-reader.ts'
import type { BatchStream, Cursor, ReadRange } from '../../pipeline/buffer.ts'
import { countEvents } from '../../pipeline/event.ts'
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
export class KafkaBatchStream extends Readable implements BatchStream {
  readonly #reader: EventReader
  readonly #onUndecodable: (record: Undecodable) => void
  readonly #signal: AbortSignal
  /** Behind what was handed out, and behind what was fetched. */
  readonly #handedOut: Map<number, number>
  readonly #fetched: Map<number, number>
  /** Where each partition ends for this stream: `to`, or the log's end at the first look. */
  readonly #ends: Map<number, number>
  readonly #steps: (Step & { readonly partition: number })[] = []
  #pages: Promise<readonly FetchedPartition[] | null> | null = null
  #eventsLeft: number
  #bytesLeft: number
  #eventsRead = 0
  readonly #hasLimits: boolean
  #isLast = false
  #finished = false

  constructor(reader: EventReader, range: ReadRange, onUndecodable: (record: Undecodable) => void) {
    super({ objectMode: true, highWaterMark: 1 })
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
    addAbortSignal(range.signal, this)
  }

  get cursor(): Cursor {
    return cursorOf(this.#handedOut)
  }

  get eventsRead(): number {
    return this.#eventsRead
  }

  finish(): void {
    this.#finished = true
  }

  override _read(): void {
    void this.#handOut()
  }

  /** Never rejects: a failure destroys the stream. */
  async #handOut(): Promise<void> {
    try {
      for (;;) {
        const step = this.#finished ? undefined : this.#steps.shift()
        if (step === undefined) {
          if (this.#finished || this.#isLast || !(await this.#turnPage())) {
            if (!this.destroyed) this.push(null)
            return
          }
          continue
        }
        this.#handedOut.set(step.partition, step.next)
        if (step.batch === null) continue
        this.#eventsRead += countEvents(step.batch)
        this.push(step.batch)
        return
      }
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** False where nothing is left. */
  async #turnPage(): Promise<boolean> {
    const pages = await (this.#pages ?? this.#fetch())
    this.#pages = null
    if (pages === null || this.destroyed) return false
    const isStuck = this.#hasLimits && pages.every(({ partition, nextOffset }) => nextOffset === this.#fetched.get(partition))
    if (isStuck && this.#eventsRead > 0) return false
    for (const page of pages) {
      const { partition } = page
      const end = this.#ends.get(partition) ?? page.highWatermark
      this.#ends.set(partition, end)
      this.#fetched.set(partition, Math.min(page.nextOffset, Math.max(end, this.#fetched.get(partition) ?? 0)))
      for (const step of batchesOf(page, end, () => ({ events: this.#eventsLeft, bytes: this.#bytesLeft }), this.#onUndecodable)) {
        if (step.batch !== null && !this.#fits(countEvents(step.batch), step.batch.lines.length)) {
          this.#isLast = true
          break
        }
        this.#steps.push({ ...step, partition })
      }
    }
    if (!this.#isLast) {
      this.#pages = this.#fetch()
      // Handled where it is awaited; a stream that is destroyed before never gets there.
      this.#pages.catch(() => undefined)
    }
    return true
  }

  /** A stream holds at least one chunk. Once one does not fit, no later and smaller one is taken, of no partition. */
  #fits(events: number, bytes: number): boolean {
    const isFirst = this.#eventsRead === 0 && this.#steps.every(({ batch }) => batch === null)
    if (!isFirst && (this.#isLast || events > this.#eventsLeft || bytes > this.#bytesLeft)) return false
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
