import { crc32 } from 'node:zlib'
import type { Database, Statement } from 'better-sqlite3'
import { countEvents, FINGERPRINT_BYTES } from '../../pipeline/event.ts'
import type { Batch, Chunk } from '../../pipeline/event.ts'
import type { Unit } from '../../pipeline/unit.ts'
import { damaged } from './failures.ts'
import { PassedOver } from './passed-over.ts'

/** A read looks at most this far ahead, so that a page stays small: memory holds two pages a shipment. */
const PAGE_BYTES = 256 * 1024
const PAGE_CHUNKS = 64
const NEWLINE = 0x0a

/** Both ends of the log: chunks `removedChunk + 1` to `appendedChunk` are there. Events are counted since the buffer began. */
export interface LogEnds {
  readonly appendedChunk: number
  readonly appendedEvents: number
  readonly removedChunk: number
  readonly removedEvents: number
}

export interface PageRequest {
  /** Exclusive. */
  readonly from: number
  /** Inclusive; null: up to the end. */
  readonly to: number | null
  readonly maxEvents: number
  readonly maxBytes: number
  /** The shipment's first chunk is taken whatever its size. */
  readonly first: boolean
}

export interface StoredBatch {
  readonly chunk: number
  readonly batch: Batch
}

export interface Page {
  readonly batches: readonly StoredBatch[]
  /** Behind the last chunk of the page, and behind those that the output passes over. */
  readonly end: number
  /** What the limits leave for the pages behind this one. */
  readonly next: PageRequest | null
}

interface Head {
  readonly chunk: number
  readonly events: number
  readonly bytes: number
}

/** A row of the table, with its bytes. */
export interface ChunkRow extends Head {
  readonly inputId: string
  readonly service: string
  readonly pulledAt: number
  readonly environment: string | null
  readonly checksum: number
  readonly fingerprints: Buffer
  readonly lines: Buffer
}

/** What a `ChunkRow` is read by. */
export const CHUNK_COLUMNS = `chunk, events, bytes, input_id AS inputId, service, pulled_at AS pulledAt, environment, checksum, fingerprints,
  CAST(lines AS BLOB) AS lines`

/** The events, as a log of chunks: appended at one end, removed at the other, read by chunk number. Callers own the transactions. */
export class ChunkLog {
  readonly #path: string
  readonly #insert: Statement<[number, string, string, number, string | null, number, number, number, number, number, number, Uint8Array, Uint8Array]>
  readonly #setAppended: Statement<[number, number]>
  readonly #setRemoved: Statement<[number, number]>
  readonly #ends: Statement<[], LogEnds>
  readonly #heads: Statement<[number, number], Head>
  readonly #rows: Statement<[number, number], ChunkRow>
  readonly #eventsUpTo: Statement<[number], number>
  readonly #delete: Statement<[number]>
  readonly #passedOver: PassedOver

  constructor(db: Database, path: string) {
    this.#path = path
    // Lines are stored as text, so that any SQLite tool shows them; the casts only relabel the bytes (measured: no cost).
    this.#insert = db.prepare(`INSERT INTO chunks (chunk, input_id, service, pulled_at, environment, window_from, window_to, events, events_before,
      bytes, checksum, fingerprints, lines) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT))`)
    this.#setAppended = db.prepare('UPDATE log SET appended_chunk = ?, appended_events = ?')
    this.#setRemoved = db.prepare('UPDATE log SET removed_chunk = ?, removed_events = ?')
    this.#ends = db.prepare(`SELECT appended_chunk AS appendedChunk, appended_events AS appendedEvents, removed_chunk AS removedChunk,
      removed_events AS removedEvents FROM log`)
    this.#heads = db.prepare(`SELECT chunk, events, bytes FROM chunks WHERE chunk > ? AND chunk <= ? ORDER BY chunk LIMIT ${PAGE_CHUNKS}`)
    this.#rows = db.prepare(`SELECT ${CHUNK_COLUMNS} FROM chunks WHERE chunk > ? AND chunk <= ? ORDER BY chunk`)
    this.#eventsUpTo = db.prepare<[number], number>('SELECT events_before + events FROM chunks WHERE chunk = ?').pluck()
    this.#delete = db.prepare('DELETE FROM chunks WHERE chunk <= ?')
    this.#passedOver = new PassedOver(db)
  }

  ends(): LogEnds {
    const ends = this.#ends.get()
    if (ends === undefined) throw damaged(this.#path, 'its log has no row')
    return ends
  }

  append(unit: Omit<Unit, 'position' | 'deadLetters'>): void {
    if (unit.chunks.length === 0) return
    let { appendedChunk, appendedEvents } = this.ends()
    for (const chunk of unit.chunks) {
      const events = countEvents(chunk)
      appendedChunk += 1
      this.#insert.run(
        appendedChunk, unit.inputId, unit.service, unit.pulledAt, unit.environment, unit.window.from, unit.window.to, events, appendedEvents,
        chunk.lines.length, checksumOf(chunk), chunk.fingerprints, chunk.lines,
      )
      appendedEvents += events
    }
    this.#setAppended.run(appendedChunk, appendedEvents)
  }

  /** The next chunks of a shipment of the output. The bytes are checked: what the disk has changed is a FatalError and never delivered. */
  page(request: PageRequest, output: string): Page {
    const to = request.to ?? Number.MAX_SAFE_INTEGER
    const start = Math.max(request.from, Math.min(this.#passedOver.behind(output, Math.max(request.from, this.ends().removedChunk)), to))
    let { maxEvents, maxBytes, first } = request
    let last = start
    let pageBytes = 0
    let full = false
    const heads = this.#heads.all(start, Math.min(to, this.#passedOver.endOfStretch(output, start)))
    let expected = start
    for (const { chunk, events, bytes } of heads) {
      expected += 1
      if (chunk !== expected) throw damaged(this.#path, `chunk ${expected} is missing`)
      full = !first && (events > maxEvents || bytes > maxBytes)
      if (full || (pageBytes > 0 && pageBytes + bytes > PAGE_BYTES)) break
      first = false
      last = chunk
      pageBytes += bytes
      maxEvents -= events
      maxBytes -= bytes
    }
    if (last === start) return { batches: [], end: start, next: null }
    const batches = this.#rows.all(start, last).map((row) => storedBatch(row, this.#path))
    const end = Math.min(this.#passedOver.behind(output, last), to)
    const more = !full && maxEvents > 0 && maxBytes > 0 && (last !== heads.at(-1)?.chunk || heads.length === PAGE_CHUNKS || end > last)
    return { batches, end, next: more ? { from: end, to: request.to, maxEvents, maxBytes, first } : null }
  }

  /** The count of events up to and with this chunk; for one that is removed, of all that are removed. */
  eventsUpTo(chunk: number): number {
    const ends = this.ends()
    if (chunk <= ends.removedChunk) return ends.removedEvents
    if (chunk > ends.appendedChunk) throw new Error(`cursor ${chunk} lies beyond the end of the buffer, ${ends.appendedChunk}`)
    const events = this.#eventsUpTo.get(chunk)
    if (events === undefined) throw damaged(this.#path, `chunk ${chunk} is missing`)
    return events
  }

  /** Removes everything up to and with this chunk. */
  removeUpTo(chunk: number): void {
    const events = this.eventsUpTo(chunk)
    this.#delete.run(chunk)
    this.#setRemoved.run(chunk, events)
  }
}

/** Throws on a chunk that cannot be meant: above all one whose bytes were already given away, which would lose its events in silence. */
export function checkUnit(unit: Unit): void {
  for (const chunk of unit.chunks) {
    const events = countEvents(chunk)
    if (events === 0 || chunk.lines.length === 0) throw new Error('a chunk without events: were its bytes given away before?')
    if (!Number.isInteger(events) || chunk.lines.at(-1) !== NEWLINE) throw new Error('a chunk must hold whole lines and 16 bytes of fingerprint for each')
  }
  const { seen } = unit.position
  if (seen !== null && (seen.fingerprints.length === 0 || seen.fingerprints.length % FINGERPRINT_BYTES !== 0)) {
    throw new Error('fingerprints must be 16 bytes each, and not none: were their bytes given away before?')
  }
}

/** Throws FatalError where the disk has changed the bytes. */
export function storedBatch(row: ChunkRow, path: string): StoredBatch {
  const { inputId, service, pulledAt, environment, lines, fingerprints } = row
  if (lines.length !== row.bytes || fingerprints.length !== row.events * FINGERPRINT_BYTES || checksumOf(row) !== row.checksum) {
    throw damaged(path, `the bytes of chunk ${row.chunk} (${inputId}/${service}) are not those that were written`)
  }
  return { chunk: row.chunk, batch: { inputId, service, pulledAt, environment, lines, fingerprints } }
}

/** As the `checksum` column has it. */
export function checksumOf(chunk: Chunk): number {
  return crc32(chunk.fingerprints, crc32(chunk.lines))
}
