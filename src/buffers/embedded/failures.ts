import { statfsSync } from 'node:fs'
import Database from 'better-sqlite3'
import { BufferFullError } from '../../pipeline/buffer.ts'
import type { CodeName } from '../../pipeline/codes.ts'
import { FatalError, RetryableError } from '../../pipeline/errors.ts'

/** Below this much free space an I/O error of the file system is taken for a full disk (the shared-memory file reports it so). */
const NEARLY_FULL_BYTES = 1024 * 1024

/**
 * What an error of SQLite or of the file system means to the collector: wait for room, try again, or stop. `doing` reads as in
 * "appending to". Whether anything waits is for the caller to say, for a command ends. An error that is none of these is a bug and comes back as it is.
 */
export function explainFailure(error: unknown, doing: string, path: string): unknown {
  const code = codeOf(error)
  if (code === null) return error
  const options = (code: CodeName) => ({ code, cause: error })
  if (code.startsWith('SQLITE_FULL') || code === 'ENOSPC' || code === 'EDQUOT' || (code.startsWith('SQLITE_IOERR') && nearlyFull(path))) {
    return new BufferFullError(`${doing} ${path}: the disk is full; free some space there`, options('DiskFull'))
  }
  if (code.startsWith('SQLITE_READONLY') || code === 'EROFS') {
    return new BufferFullError(`${doing} ${path}: it is read-only, or its folder is; make it writable`, options('DiskReadOnly'))
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'SQLITE_PERM' || code.startsWith('SQLITE_CANTOPEN')) {
    return new BufferFullError(`${doing} ${path}: this user may not write there; check owner and mode of the folder and its files`, options('DiskForbidden'))
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') return damaged(path, error)
  if (/^SQLITE_(BUSY|LOCKED|IOERR|NOMEM|PROTOCOL|INTERRUPT)/.test(code) || code === 'EIO') {
    const isLocked = code.startsWith('SQLITE_BUSY')
    return new RetryableError(`${doing} ${path}: ${isLocked ? 'another program has locked it' : 'the file system failed'}`, options(isLocked ? 'BufferLocked' : 'DiskFailed'))
  }
  if (code === 'ENOENT') return new BufferFullError(`${doing} ${path}: it is not there and cannot be made; check the folder above it`, options('DiskPathMissing'))
  if (code === 'ENOTDIR' || code === 'EEXIST') return new FatalError(`${doing} ${path}: a part of this path is a file and not a folder`, options('DiskPathWrong'))
  return error
}

/** The same while the file is being opened, where SQLITE_ERROR is never our SQL: a header that SQLite does not know, a table that is gone. */
export function explainOpening(error: unknown, doing: string, path: string): unknown {
  return codeOf(error) === 'SQLITE_ERROR' ? damaged(path, error) : explainFailure(error, doing, path)
}

/** The file's content cannot be trusted. Nothing is repaired or begun anew in silence: undelivered events may be in it. */
export function damaged(path: string, cause: unknown): FatalError {
  const detail = typeof cause === 'string' ? cause : cause instanceof Error ? cause.message : String(cause)
  return new FatalError(
    `the buffer ${path} is damaged (${detail}). Check the disk; put back a copy, or move the file away with its -wal and -shm ` +
      'to begin anew (events in it that were not delivered stay there: `sqlite3 buffer.db .recover` may rescue them)',
    { code: 'BufferDamaged', ...(typeof cause !== 'string' && { cause }) },
  )
}

function codeOf(error: unknown): string | null {
  if (error instanceof Database.SqliteError) return error.code
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && !(error instanceof TypeError)) return error.code
  return null
}

function nearlyFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize < NEARLY_FULL_BYTES
  } catch {
    return false
  }
}
