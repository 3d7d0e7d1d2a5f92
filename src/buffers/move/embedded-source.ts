import { createHash } from 'node:crypto'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname } from 'node:path'
import Database from 'better-sqlite3'
import { RetryableError } from '../../pipeline/errors.ts'
import { FINGERPRINT_BYTES } from '../../pipeline/event.ts'
import type { DeadLetter, ServiceState } from '../../pipeline/unit.ts'
import { checksumOf } from '../embedded/chunks.ts'
import { databasePath, openDatabase } from '../embedded/database.ts'
import { damaged, explainFailure, explainOpening } from '../embedded/failures.ts'
import { FolderLock, lockRetries } from '../embedded/lock.ts'
import { MIGRATIONS } from '../embedded/migrations.ts'
import { passedEventsBetween } from '../embedded/passed-over.ts'
import { ServiceTable } from '../embedded/services.ts'
import { takeSnapshot } from '../embedded/snapshot.ts'
import type { UnitEvents } from '../kafka/unit-records.ts'
import type { OutputCursor, Stretch } from './plan.ts'
import { syncFolder } from '../embedded/small-file.ts'

/** What is read at once, of events and of dead letters: memory holds one page. */
const PAGE_BYTES = 4 * 1024 * 1024
const PAGE_LETTERS = 1_000
const BUSY_TIMEOUT_MS = 5000

export interface SourceOutput extends OutputCursor {
  readonly open: boolean
  readonly provenAt: number
  readonly missedEvents: number
}

export interface EventPage {
  readonly events: readonly UnitEvents[]
  readonly lastChunk: number
  readonly count: number
}

interface ChunkRow {
  readonly chunk: number
  readonly inputId: string
  readonly service: string
  readonly pulledAt: number
  readonly environment: string | null
  readonly from: number
  readonly to: number
  readonly events: number
  readonly checksum: number
  readonly fingerprints: Buffer
  readonly lines: Buffer
}

/**
 * The embedded buffer as the source of a move, with the folder held like a collector's. Nothing in it changes but for its version; `retire`
 * renames the file. Errors as of EmbeddedStore. The caller owes a `close`.
 */
export class EmbeddedSource {
  readonly path: string
  /** The same for the same content, whoever reads it. */
  readonly identity: string
  readonly outputs: readonly SourceOutput[]
  readonly #lock: HeldFolder
  readonly #db: Database.Database
  readonly #services: ServiceTable

  /** Null where there is no buffer in the folder, or no longer. */
  static open(dir: string, now: number): EmbeddedSource | null {
    if (!existsSync(databasePath(dir))) return null
    let lock: HeldFolder
    try {
      lock = holdFolder(dir, now)
    } catch (error) {
      throw explainFailure(error, 'opening the state folder', dir)
    }
    try {
      // Whoever held the lock before may have moved it.
      if (existsSync(databasePath(dir))) return new EmbeddedSource(dir, lock)
    } catch (error) {
      lock.release()
      throw explainOpening(error, 'opening', databasePath(dir))
    }
    lock.release()
    return null
  }

  private constructor(dir: string, lock: HeldFolder) {
    this.path = databasePath(dir)
    this.#lock = lock
    this.#db = openDatabase(dir, MIGRATIONS)
    try {
      this.#services = new ServiceTable(this.#db)
      this.identity = identityOf(this.#db)
      this.outputs = readOutputs(this.#db)
      this.#assertWhole()
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  /** For people. */
  get place(): string {
    return `${hostname()}:${this.path}`
  }

  get snapshot(): ReturnType<typeof takeSnapshot> {
    return takeSnapshot(this.#db, this.path)
  }

  /** What may still have to be delivered to some output, cut where some output passes chunks over. */
  stretches(): Stretch[] {
    const [appended] = this.#db.prepare<[], [number]>('SELECT appended_chunk FROM log').raw().get() ?? [0]
    const from = this.outputs.length === 0 ? 0 : Math.min(appended, ...this.outputs.map(({ chunk }) => chunk))
    const runs = this.#db
      .prepare<[], { output: string; before: number; last: number }>('SELECT output, first_chunk - 1 AS before, last_chunk AS last FROM passed_over')
      .all()
    const inside = runs.flatMap(({ before, last }) => [before, last]).filter((chunk) => chunk > from && chunk < appended)
    const bounds = [from, ...new Set(inside.sort((a, b) => a - b)), appended]
    return bounds.slice(0, -1).map((begin, index) => {
      const passing = new Set(runs.filter(({ before, last }) => before <= begin && last > begin).map(({ output }) => output))
      const only = passing.size === 0 ? null : this.outputs.map(({ name }) => name).filter((name) => !passing.has(name))
      return { from: begin, to: bounds[index + 1] ?? appended, only }
    })
  }

  /** Events of the stretch behind a chunk. */
  countEvents({ to }: Stretch, after: number): number {
    return this.#db.prepare<[number, number], number>('SELECT coalesce(sum(events), 0) FROM chunks WHERE chunk > ? AND chunk <= ?').pluck().get(after, to) ?? 0
  }

  /** The next chunks of the stretch behind a chunk; null where there are none. The bytes are checked: FatalError where the disk has changed them. */
  events({ to }: Stretch, after: number): EventPage | null {
    const events: UnitEvents[] = []
    let lastChunk = after
    let count = 0
    let bytes = 0
    const rows = this.#db.prepare<[number, number], ChunkRow>(
      `SELECT chunk, input_id AS inputId, service, pulled_at AS pulledAt, environment, window_from AS "from", window_to AS "to", events, checksum,
        fingerprints, CAST(lines AS BLOB) AS lines FROM chunks WHERE chunk > ? AND chunk <= ? ORDER BY chunk`,
    )
    for (const row of rows.iterate(after, to)) {
      const { chunk, inputId, service, pulledAt, environment, from, to: end, fingerprints, lines } = row
      if (fingerprints.length !== row.events * FINGERPRINT_BYTES || checksumOf(row) !== row.checksum)
        throw damaged(this.path, `the bytes of chunk ${chunk} (${inputId}/${service}) are not those that were written`)
      events.push({ inputId, service, pulledAt, environment, window: { from, to: end }, chunks: [{ lines, fingerprints }], deadLetters: [] })
      lastChunk = chunk
      count += row.events
      bytes += lines.length
      if (bytes >= PAGE_BYTES) break
    }
    return events.length === 0 ? null : { events, lastChunk, count }
  }

  /** The next dead letters behind the given number; none where there are no more. */
  deadLetters(after: number): { readonly letters: readonly DeadLetter[]; readonly last: number } {
    const letters: DeadLetter[] = []
    let last = after
    let bytes = 0
    const rows = this.#db.prepare<[number], DeadLetter & { readonly id: number }>(
      `SELECT id, output, input_id AS inputId, service, pulled_at AS pulledAt, environment, at, reason, size, fingerprint, event FROM dead_letters
        WHERE id > ? ORDER BY id LIMIT ${PAGE_LETTERS}`,
    )
    for (const { id, ...letter } of rows.iterate(after)) {
      letters.push(letter)
      last = id
      bytes += letter.event.length
      if (bytes >= PAGE_BYTES) break
    }
    return { letters, last }
  }

  /** With the fingerprints. Null for a service that has never run. */
  loadService(inputId: string, service: string): ServiceState | null {
    return this.#services.load(inputId, service)
  }

  /** Ends the buffer's life here: the file, whole in itself, gets another name, which is returned. The folder is free afterwards. */
  retire(now: number): string {
    try {
      const [result] = this.#db.pragma('wal_checkpoint(TRUNCATE)') as { readonly busy: number }[] // as SQLite documents it
      if (result?.busy !== 0) throw new RetryableError(`another program reads ${this.path}, so that it cannot be renamed; end that program`, { code: 'MoveWaits' })
      this.#db.close()
      const usual = `${this.path}.moved`
      const name = existsSync(usual) ? `${usual}-${new Date(now).toISOString().replaceAll(':', '')}` : usual
      renameSync(this.path, name)
      for (const suffix of ['-wal', '-shm']) rmSync(this.path + suffix, { force: true })
      syncFolder(dirname(this.path))
      return basename(name)
    } catch (error) {
      throw explainFailure(error, 'renaming', this.path)
    } finally {
      this.close()
    }
  }

  /** Safe to call again. */
  close(): void {
    this.#db.close()
    this.#lock.release()
  }

  /** What is missing in the middle shows at no page. */
  #assertWhole(): void {
    const [expected, found] = this.#db
      .prepare<[], [number, number]>('SELECT appended_chunk - removed_chunk, (SELECT count(*) FROM chunks) FROM log')
      .raw()
      .get() ?? [0, 0]
    if (expected !== found) throw damaged(this.path, `${expected} chunks should be there, and ${found} are`)
  }
}

/** The identity of the buffer in the folder. Throws as EmbeddedSource does. */
export function identityOfFile(dir: string): string {
  const path = databasePath(dir)
  try {
    const db = new Database(path, { readonly: true, timeout: BUSY_TIMEOUT_MS })
    try {
      return identityOf(db)
    } finally {
      db.close()
    }
  } catch (error) {
    throw explainOpening(error, 'reading', path)
  }
}

interface HeldFolder {
  release(): void
}

/** Against other collectors, and whoever sends dead letters again: what they take from the file would be carried over all the same. */
function holdFolder(dir: string, now: number): HeldFolder {
  const folder = new FolderLock(dir, now)
  try {
    const retries = lockRetries(dir)
    if (retries === null) throw new RetryableError(`"dead-letters retry" is under way on ${dir}; its buffer is moved as soon as that has ended`, { code: 'MoveWaits' })
    return {
      release() {
        retries.close()
        folder.release()
      },
    }
  } catch (error) {
    folder.release()
    throw error
  }
}

/** Over all that tells how far it has come: any run of a collector changes it, a copy and a new version of the file do not. */
function identityOf(db: Database.Database): string {
  const hash = createHash('sha256')
  const knowsMoves = db.prepare("SELECT 1 FROM pragma_table_info('log') WHERE name = 'move_id'").get() !== undefined
  const moveId = knowsMoves ? db.prepare<[], string | null>('SELECT move_id FROM log').pluck().get() : undefined
  if (typeof moveId === 'string') hash.update(moveId)
  for (const query of [
    'SELECT appended_chunk, appended_events, removed_chunk, removed_events FROM log',
    'SELECT name, chunk, events FROM outputs ORDER BY name',
    'SELECT input_id, service, settled, read_at, start_time FROM services ORDER BY input_id, service',
  ]) {
    hash.update(JSON.stringify(db.prepare(query).raw().all()))
  }
  return hash.digest('hex')
}

/** What an output has missed since it was off counts from now on, as it does when it is opened. */
function readOutputs(db: Database.Database): SourceOutput[] {
  return db
    .prepare<[], { name: string; chunk: number; open: number; provenAt: number; missedEvents: number }>(
      `SELECT name, chunk, open, proven_at AS provenAt, missed_events + max(0, log.removed_events - events - ${passedEventsBetween('events', 'log.removed_events')}) AS missedEvents
        FROM outputs, log ORDER BY name`,
    )
    .all()
    .map((row) => ({ ...row, open: row.open === 1 }))
}
