import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { FatalError } from '../../pipeline/errors.ts'
import { explainFailure } from './failures.ts'

/** How long a second collector waits for the first to leave (a restart may overlap for a moment). */
const PATIENCE_MS = 500

/** Another collector holds the state folder. */
export class FolderInUseError extends FatalError {}

/**
 * One collector a folder: an exclusive transaction on `buffer.lock`, held for life. The kernel frees it with the process, whatever
 * kills it, and it does not care for process numbers (two containers on one volume). Throws FolderInUseError that names the holder.
 *
 * Nobody may open `buffer.lock` or `buffer.db` by other means inside the holding process: closing such a file descriptor would drop
 * SQLite's locks (POSIX). So who holds it stands in a file of its own.
 */
export class FolderLock {
  readonly #db: Database.Database
  readonly #infoPath: string

  constructor(dir: string, now: number) {
    this.#infoPath = join(dir, 'buffer.lock.json')
    const db = lockFile(join(dir, 'buffer.lock'))
    if (db === null)
      throw new FolderInUseError(
        `the state folder ${dir} is in use by ${this.#describeHolder()}. Stop that collector, or give this one a folder of its own (globals.persistence.config.directory_name)`,
        { code: 'FolderInUse' },
      )
    this.#db = db
    this.#writeInfo(now)
  }

  release(): void {
    if (!this.#db.open) return
    rmSync(this.#infoPath, { force: true })
    this.#db.close()
  }

  /** Only for people: on a full disk the collector starts without it. */
  #writeInfo(now: number): void {
    try {
      rmSync(this.#infoPath, { force: true })
      const info = { pid: process.pid, host: hostname(), since: new Date(now).toISOString() }
      writeFileSync(this.#infoPath, `${JSON.stringify(info)}\n`, { mode: 0o600 })
    } catch {
      rmSync(this.#infoPath, { force: true })
    }
  }

  #describeHolder(): string {
    try {
      const info: unknown = JSON.parse(readFileSync(this.#infoPath, 'utf8'))
      if (typeof info === 'object' && info !== null && 'pid' in info && 'host' in info && 'since' in info) {
        return `process ${String(info.pid)} on host ${String(info.host)} since ${String(info.since)}`
      }
    } catch {
      // It starts or leaves at this moment, or its disk is full.
    }
    return 'another process'
  }
}

/**
 * That nobody else sends dead letters of this folder again, until the close of what it gives; null where somebody does. Throws RetryableError where the
 * file cannot be made or locked.
 */
export function lockRetries(dir: string): Database.Database | null {
  const path = join(dir, 'retries.lock')
  try {
    return lockFile(path)
  } catch (error) {
    throw explainFailure(error, 'locking', path)
  }
}

/** Holds the file until the close of what it gives; null where another holds it. The kernel frees it with the process. */
function lockFile(path: string): Database.Database | null {
  createPrivately(path)
  const db = new Database(path, { timeout: PATIENCE_MS })
  try {
    // Nothing is ever written, so there is no journal to keep on the disk.
    db.pragma('journal_mode = MEMORY')
    db.exec('BEGIN EXCLUSIVE')
    return db
  } catch (error) {
    db.close()
    if (error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY')) return null
    throw error
  }
}

/** Makes an empty file that only its owner may read, unless there is one. */
export function createPrivately(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
}
