import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import { FatalError } from '../../pipeline/errors.ts'
import { checkSmallTables } from './check.ts'
import { damaged } from './failures.ts'
import { createPrivately } from './lock.ts'
import { latestVersion, migrate } from './migrations.ts'
import type { Migration } from './migrations.ts'
import { APPLICATION_ID, FIRST_VERSION, SCHEMA } from './schema.ts'

const PAGE_BYTES = 16_384
const BUSY_TIMEOUT_MS = 5000

export function databasePath(dir: string): string {
  return join(dir, 'buffer.db')
}

/**
 * Opens `buffer.db` for its one writer, who holds the folder's lock; a missing one is made. A file that is damaged, newer, or not
 * ours is a FatalError and left as it is. Checked at every start: the header, the schema, all small tables, and that both ends of
 * the chunks are where the log says; a whole check would read gigabytes. What is damaged behind that shows when it is read.
 */
export function openDatabase(dir: string, migrations: readonly Migration[]): Database.Database {
  const path = databasePath(dir)
  if (!existsSync(path)) createDatabase(path, migrations)
  const probe = new Database(path, { readonly: true, timeout: BUSY_TIMEOUT_MS })
  let version: number
  try {
    version = checkIdentity(probe, path, migrations)
  } finally {
    probe.close()
  }
  const db = new Database(path, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS })
  try {
    configure(db)
    migrate(db, path, version, migrations)
    checkContent(db, path)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Throws FatalError unless the file is a buffer of a version that this program knows. Returns its version. */
export function checkIdentity(db: Database.Database, path: string, migrations: readonly Migration[]): number {
  if (statSync(path).size === 0) throw damaged(path, 'it is empty, 0 bytes')
  const applicationId = db.pragma('application_id', { simple: true })
  if (applicationId !== APPLICATION_ID) {
    throw new FatalError(
      `${path} is not a buffer of this collector: it belongs to another application, or it is damaged. ` +
        'Move it away, or choose another state folder (globals.persistence.config.directory_name)',
      { code: 'BufferForeign' },
    )
  }
  const version = Number(db.pragma('user_version', { simple: true }))
  const latest = latestVersion(migrations)
  if (version > latest) {
    throw new FatalError(`the buffer ${path} has version ${version}, this program knows up to ${latest}. Start the newer collector that wrote it, or move the file away`, { code: 'BufferNewer' })
  }
  if (version < FIRST_VERSION) throw damaged(path, `its version is ${version}`)
  return version
}

/** Made beside its place and moved there when whole: a kill in between never leaves half a buffer behind. Errors as `openDatabase`. */
export function createDatabase(path: string, migrations: readonly Migration[]): void {
  if (existsSync(`${path}-wal`) && statSync(`${path}-wal`).size > 0) {
    throw new FatalError(`the buffer ${path} is missing, but its log ${path}-wal is there. Put the file back, or move the log away to begin anew`, { code: 'BufferMissing' })
  }
  const unfinished = `${path}.unfinished`
  removeDatabase(unfinished)
  try {
    createPrivately(unfinished)
    const db = new Database(unfinished, { timeout: 0 })
    try {
      db.pragma(`page_size = ${PAGE_BYTES}`)
      configure(db)
      db.transaction(() => {
        db.exec(SCHEMA)
        for (const step of migrations) step(db)
        db.pragma(`application_id = ${APPLICATION_ID}`)
        db.pragma(`user_version = ${latestVersion(migrations)}`)
      }).immediate()
      db.pragma('wal_checkpoint(TRUNCATE)')
    } finally {
      db.close()
    }
  } catch (error) {
    removeDatabase(unfinished)
    throw error
  }
  renameSync(unfinished, path)
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

export function removeDatabase(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true })
}

function configure(db: Database.Database): void {
  const mode = db.pragma('journal_mode = WAL', { simple: true })
  if (mode !== 'wal') throw new FatalError(`${db.name} cannot use a write-ahead log here (${String(mode)}): the state folder must be on a local file system`, { code: 'BufferNotLocal' })
  db.pragma('synchronous = FULL')
  db.pragma('cache_size = -4096')
}

interface Ends {
  readonly first: number
  readonly last: number
  readonly before: number
  readonly total: number
  readonly appendedChunk: number
  readonly appendedEvents: number
  readonly removedChunk: number
  readonly removedEvents: number
}

function checkContent(db: Database.Database, path: string): void {
  checkSmallTables(db, path)
  const ends = db
    .prepare<[], Ends>(
      `SELECT appended_chunk AS appendedChunk, appended_events AS appendedEvents, removed_chunk AS removedChunk, removed_events AS removedEvents,
        coalesce((SELECT min(chunk) FROM chunks), removed_chunk + 1) AS first,
        coalesce((SELECT max(chunk) FROM chunks), removed_chunk) AS last,
        coalesce((SELECT events_before FROM chunks ORDER BY chunk LIMIT 1), removed_events) AS before,
        coalesce((SELECT events_before + events FROM chunks ORDER BY chunk DESC LIMIT 1), removed_events) AS total
      FROM log`,
    )
    .get()
  if (ends === undefined) throw damaged(path, 'its log has no row')
  const whole =
    ends.first === ends.removedChunk + 1 && ends.before === ends.removedEvents && ends.last === ends.appendedChunk && ends.total === ends.appendedEvents
  if (!whole) throw damaged(path, `chunks ${ends.first} to ${ends.last} are there, the log says ${ends.removedChunk + 1} to ${ends.appendedChunk}`)
}
