import { addAbortSignal, Readable } from 'node:stream'
import type { BatchStream, Cursor, ReadRange } from '../../pipeline/buffer.ts'
import type { Page, PageRequest, StoredBatch } from './chunks.ts'
import { cursorOf, parseCursor } from './cursor.ts'

/**
 * The chunks of one shipment, page by page: no SQLite cursor stays open between two pages. The next page is fetched when the last
 * chunk of one has been handed out, so that at most two pages are in memory.
 */
export class ChunkStream extends Readable implements BatchStream {
  readonly #fetch: (request: PageRequest) => Promise<Page>
  #chunk: number
  /** Behind the page that is being handed out. */
  #pageEnd: number
  #eventsRead = 0
  #page: readonly StoredBatch[] = []
  #index = 0
  #next: Promise<Page> | null
  #finished = false

  constructor(fetch: (request: PageRequest) => Promise<Page>, range: ReadRange) {
    super({ objectMode: true, highWaterMark: 1 })
    this.#fetch = fetch
    this.#chunk = parseCursor(range.from)
    this.#pageEnd = this.#chunk
    const to = range.to === undefined ? null : parseCursor(range.to)
    this.#next = null
    this.#start({ from: this.#chunk, to, maxEvents: range.maxEvents, maxBytes: range.maxBytes, first: true })
    addAbortSignal(range.signal, this)
  }

  get cursor(): Cursor {
    return cursorOf(this.#chunk)
  }

  get eventsRead(): number {
    return this.#eventsRead
  }

  finish(): void {
    this.#finished = true
  }

  override _read(): void {
    const stored = this.#page[this.#index]
    if (this.#finished) {
      this.push(null)
      return
    }
    if (stored === undefined) {
      void this.#turnPage()
      return
    }
    this.#index += 1
    this.#chunk = stored.chunk
    this.#eventsRead += stored.events
    this.push(stored.batch)
  }

  /** Never rejects: a failure destroys the stream. */
  async #turnPage(): Promise<void> {
    try {
      const page = await this.#next
      if (this.destroyed) return
      this.#chunk = this.#pageEnd
      this.#page = page?.batches ?? []
      this.#pageEnd = page?.end ?? this.#pageEnd
      this.#index = 0
      this.#next = null
      if (page?.next && !this.#finished) this.#start(page.next)
      if (this.#page.length > 0) {
        this._read()
        return
      }
      this.#chunk = this.#pageEnd
      this.push(null)
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #start(request: PageRequest): void {
    this.#next = this.#fetch(request)
    // Handled where it is awaited; a stream that is destroyed before never gets there.
    this.#next.catch(() => undefined)
  }
}
