import { existsSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import Database from 'better-sqlite3'
import type { Statement, Transaction } from 'better-sqlite3'
import type { Cursor } from '../../pipeline/buffer.ts'
import { FINGERPRINT_BYTES, type Batch, type Pull } from '../../pipeline/event.ts'
import type { PulledBetween, ReplayStepsOptions, ReplayStore, SavedReplay } from '../../pipeline/replay-store.ts'
import type { BatchStep } from '../../pipeline/step-stream.ts'
import type { DeadLetter } from '../../pipeline/unit.ts'
import { CHUNK_COLUMNS, storedBatch, type ChunkRow } from './chunks.ts'
import { checkIdentity, databasePath } from './database.ts'
import { DeadLetterTable } from './dead-letters.ts'
import { damaged, explainFailure, explainOpening } from './failures.ts'
import { MIGRATIONS } from './migrations.ts'
import { parseReplayCursor, replayCursor, type ReplayPlace } from './replay-cursor.ts'
import { ReplayFiles } from './replay-file.ts'

const BUSY_TIMEOUT_MS = 5000
/** Of which nothing but the beginning of the row is read. */
const PAGE_CHUNKS = 512
const NEWLINE = 0x0a

interface Head extends Pull {
  readonly chunk: number
}

interface Ends {
  readonly removed: number
  readonly appended: number
}

/** Of the pulls that are wanted: behind which chunk they begin, and with which one they end. */
interface Found {
  readonly oldestPull: number | null
  readonly before: number | null
  readonly last: number | null
}

interface HeadPage {
  /** Chunks up to this one are removed. */
  readonly removedChunk: number
  readonly heads: readonly Head[]
}

interface EmbeddedReplayOptions {
  readonly dir: string
  readonly maxSizeBytes: number
  /** Other pulls are not wanted. */
  readonly pulled: PulledBetween
}

/**
 * The buffer of a state folder for a replay, read beside the collector that holds it or without one; null where none has ever run. The caller owes a
 * `close`. Throws FatalError and RetryableError as `readSnapshot` does.
 */
export function openEmbeddedReplay({ dir, maxSizeBytes, pulled }: EmbeddedReplayOptions): ReplayStore | null {
  const path = databasePath(dir)
  if (!existsSync(path)) return null
  try {
    const db = new Database(path, { readonly: true, timeout: BUSY_TIMEOUT_MS })
    try {
      checkIdentity(db, path, MIGRATIONS)
      return new EmbeddedReplay(db, path, new ReplayFiles(dir), maxSizeBytes, pulled)
    } catch (error) {
      db.close()
      throw error
    }
  } catch (error) {
    throw explainOpening(error, 'reading', path)
  }
}

class EmbeddedReplay implements ReplayStore {
  readonly begin: Cursor
  readonly end: Cursor
  readonly oldestPull: number | null
  readonly hasRemoved: boolean
  missed = false
  readonly #db: Database.Database
  readonly #path: string
  readonly #files: ReplayFiles
  readonly #maxSizeBytes: number
  readonly #first: number
  readonly #last: number
  readonly #page: Transaction<(after: number, upTo: number) => HeadPage>
  readonly #row: Statement<[number], ChunkRow>

  constructor(db: Database.Database, path: string, files: ReplayFiles, maxSizeBytes: number, { from, to }: PulledBetween) {
    this.#db = db
    this.#path = path
    this.#files = files
    this.#maxSizeBytes = maxSizeBytes
    const removed = db.prepare<[], number>('SELECT removed_chunk FROM log').pluck()
    const heads = db.prepare<[number, number], Head>(
      `SELECT chunk, input_id AS inputId, service, pulled_at AS pulledAt, environment FROM chunks WHERE chunk > ? AND chunk <= ?
        ORDER BY chunk LIMIT ${PAGE_CHUNKS}`,
    )
    // The collector removes what is old meanwhile: within a transaction both tell of the same moment.
    this.#page = db.transaction((after: number, upTo: number) => {
      const removedChunk = removed.get() ?? 0
      return { removedChunk, heads: heads.all(Math.max(after, removedChunk), upTo) }
    })
    this.#row = db.prepare(`SELECT ${CHUNK_COLUMNS} FROM chunks WHERE chunk = ?`)
    const { removed: removedChunk, appended } = db.prepare<[], Ends>('SELECT removed_chunk AS removed, appended_chunk AS appended FROM log').get() ?? { removed: 0, appended: 0 }
    // Pulls need not be in the order of their chunks: one look at the beginning of every row.
    const { oldestPull, before, last } = db
      .prepare<{ from: number; to: number }, Found>(
        `SELECT min(pulled_at) AS oldestPull, min(chunk) FILTER (WHERE pulled_at >= @from AND pulled_at < @to) - 1 AS before,
          max(chunk) FILTER (WHERE pulled_at >= @from AND pulled_at < @to) AS last FROM chunks`,
      )
      .get({ from: finite(from), to: finite(to) }) ?? { oldestPull: null, before: null, last: null }
    this.#first = before ?? appended
    this.#last = last ?? appended
    this.begin = replayCursor({ chunk: this.#first, events: 0 })
    this.end = replayCursor({ chunk: this.#last, events: 0 })
    this.oldestPull = oldestPull
    this.hasRemoved = removedChunk > 0
  }

  async *steps({ from, to, isWanted, maxEvents }: ReplayStepsOptions): AsyncGenerator<BatchStep, void, undefined> {
    const end = parseReplayCursor(to)
    let { chunk, events } = parseReplayCursor(from)
    const upTo = end.events === 0 ? end.chunk : end.chunk + 1
    while (chunk < upTo) {
      const { removedChunk, heads } = this.#tried(() => this.#page(chunk, upTo))
      if (removedChunk > chunk) {
        this.missed = true
        chunk = Math.min(removedChunk, upTo)
        events = 0
      }
      if (heads.length === 0 && chunk < upTo) throw damaged(this.#path, `chunk ${chunk + 1} is missing`)
      for (const head of heads) {
        if (head.chunk !== chunk + 1) throw damaged(this.#path, `chunk ${chunk + 1} is missing`)
        if (isWanted(head)) yield* this.#pieces({ chunk, events }, end, maxEvents)
        chunk = head.chunk
        events = 0
      }
      yield { batch: null, cursor: replayCursor({ chunk: Math.min(chunk, end.chunk), events }) }
      // Reading is synchronous, and signals and sockets want their turn also on a stretch that holds nothing to send.
      await turn()
    }
    yield { batch: null, cursor: to }
  }

  fraction(cursor: Cursor): number {
    return this.#last === this.#first ? 1 : Math.max(0, Math.min(1, (parseReplayCursor(cursor).chunk - this.#first) / (this.#last - this.#first)))
  }

  /** Through a connection of its own, one for all there is: SQLite lets the collector and this one write one after the other. */
  async keep(output: string, letters: readonly DeadLetter[]): Promise<void> {
    try {
      const db = new Database(this.#path, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS })
      try {
        db.pragma('synchronous = FULL')
        const table = new DeadLetterTable(db)
        db.transaction(() => {
          table.assertRoom(output, this.#maxSizeBytes)
          table.add(letters)
        }).immediate()
      } finally {
        db.close()
      }
    } catch (error) {
      throw explainFailure(error, 'writing to', this.#path)
    }
  }

  async load(id: string): Promise<SavedReplay | null> {
    return this.#files.load(id)
  }

  async save(id: string, saved: SavedReplay): Promise<void> {
    this.#files.save(id, saved)
  }

  async remove(id: string): Promise<void> {
    this.#files.remove(id)
  }

  async close(): Promise<void> {
    this.#db.close()
  }

  /** The chunk behind a place, up to `end` where that lies in it. */
  *#pieces(from: ReplayPlace, end: ReplayPlace, maxEvents: number): Generator<BatchStep, void, undefined> {
    const row = this.#tried(() => this.#row.get(from.chunk + 1))
    if (row === undefined) {
      this.missed = true
      return
    }
    const { events } = row
    const { batch } = storedBatch(row, this.#path)
    const last = end.chunk === from.chunk ? Math.min(end.events, events) : events
    for (let at = from.events; at < last; at += maxEvents) {
      const until = Math.min(at + maxEvents, last)
      const cursor = replayCursor(until === events ? { chunk: row.chunk, events: 0 } : { chunk: from.chunk, events: until })
      yield { batch: at === 0 && until === events ? batch : pieceOf(batch, at, until), cursor }
    }
  }

  #tried<Result>(work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      throw explainFailure(error, 'reading', this.#path)
    }
  }
}

/** SQLite has no infinite integer. */
function finite(time: number): number {
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, time))
}

function pieceOf(batch: Batch, from: number, to: number): Batch {
  const { lines, fingerprints } = batch
  const bytes = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength)
  let start = 0
  let end = 0
  for (let index = 0; index < to; index += 1) {
    if (index === from) start = end
    end = bytes.indexOf(NEWLINE, end) + 1
  }
  return { ...batch, lines: lines.slice(start, end), fingerprints: fingerprints.slice(from * FINGERPRINT_BYTES, to * FINGERPRINT_BYTES) }
}
