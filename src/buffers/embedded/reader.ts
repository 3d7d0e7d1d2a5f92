import { existsSync, statSync } from 'node:fs'
import Database from 'better-sqlite3'
import type { BufferSnapshot } from '../../pipeline/buffer.ts'
import { FatalError } from '../../pipeline/errors.ts'
import { checkIdentity, databasePath } from './database.ts'
import { explainOpening } from './failures.ts'
import { MIGRATIONS } from './migrations.ts'
import { takeSnapshot } from './snapshot.ts'

const BUSY_TIMEOUT_MS = 2000

/** What a buffer shows in which no collector has run yet. */
export const NOTHING_YET: BufferSnapshot = { services: [], outputs: [], sourceDeadLetters: 0, pools: [], sizeInBytes: 0, maxSizeInBytes: 0 }

/**
 * Looks into a state folder without holding it, beside a running collector and without one; empty where none has ever run.
 * Throws FatalError where the file is damaged, newer or not a buffer, RetryableError where it cannot be read now.
 */
export async function readSnapshot(dir: string): Promise<BufferSnapshot> {
  const path = databasePath(dir)
  if (existsSync(dir) && !statSync(dir).isDirectory()) throw new FatalError(`the state folder ${dir} is a file; globals.persistence names the folder`, { code: 'DiskPathWrong' })
  if (!existsSync(path)) return NOTHING_YET
  try {
    const db = new Database(path, { readonly: true, timeout: BUSY_TIMEOUT_MS })
    try {
      checkIdentity(db, path, MIGRATIONS)
      return takeSnapshot(db, path)
    } finally {
      db.close()
    }
  } catch (error) {
    throw explainOpening(error, 'reading', path)
  }
}
