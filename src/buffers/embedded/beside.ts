import Database from 'better-sqlite3'
import type { QuotaLog } from '../../pipeline/source.ts'
import { checkIdentity, databasePath } from './database.ts'
import { explainFailure, explainOpening } from './failures.ts'
import { MIGRATIONS } from './migrations.ts'
import { RequestLog } from './requests.ts'

const BUSY_TIMEOUT_MS = 5000

/**
 * The quota log of a buffer that a running collector holds: SQLite lets one write after the other. That collector looks at the log again once
 * a minute, and before every request when few are left. The caller owes a `close`. Throws FatalError and RetryableError as `readSnapshot` does.
 */
export function openQuotaLogBeside(dir: string): QuotaLog & { close(): Promise<void> } {
  const path = databasePath(dir)
  try {
    const db = new Database(path, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS })
    checkIdentity(db, path, MIGRATIONS)
    db.pragma('synchronous = FULL')
    const requests = new RequestLog(db)
    const tried = async <Result>(doing: string, work: () => Result): Promise<Result> => {
      try {
        return work()
      } catch (error) {
        throw explainFailure(error, doing, path)
      }
    }
    return {
      load: (pool) => tried('reading', () => requests.load(pool)),
      count: (...request) => tried('writing to', () => db.transaction(() => requests.count(...request)).immediate()),
      close: async () => void db.close(),
    }
  } catch (error) {
    throw explainOpening(error, 'opening', path)
  }
}
