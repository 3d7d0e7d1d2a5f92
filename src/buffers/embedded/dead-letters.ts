import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import Database from 'better-sqlite3'
import type { Statement } from 'better-sqlite3'
import {
  assertRoomForDeadLetters, NO_DEAD_LETTERS, RetriesTakenError, type DeadLetterStore, type KeptAmount, type KeptDeadLetter,
} from '../../pipeline/dead-letters.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import type { DeadLetter } from '../../pipeline/unit.ts'
import { checkIdentity, databasePath } from './database.ts'
import { explainFailure, explainOpening } from './failures.ts'
import { lockRetries } from './lock.ts'
import { MIGRATIONS } from './migrations.ts'

const PAGE_BYTES = 4 * 1024 * 1024
const BUSY_TIMEOUT_MS = 5000
/** All outputs and the source together may fill this share of the limit with dead letters, each of them the same part of it. */
const SHARE_OF_SIZE = 1 / 10
/** The kernel takes no lock away from who holds it. */
const NEVER = new AbortController().signal
/** What a row takes beside the event. */
const ROW_BYTES = 256

/** The table of the dead letters. Callers own the transactions. */
export class DeadLetterTable {
  readonly #add: Statement<[string | null, string, string, number, string | null, number, string, number, Uint8Array, Uint8Array]>
  readonly #rows: Statement<[number, number], KeptDeadLetter>
  readonly #last: Statement<[], number | null>
  readonly #remove: Statement<[number]>
  readonly #amount: Statement<[string | null], KeptAmount>
  readonly #openOutputs: Statement<[], number>

  constructor(db: Database.Database) {
    this.#add = db.prepare(`INSERT INTO dead_letters (output, input_id, service, pulled_at, environment, at, reason, size, fingerprint, event)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
    this.#rows = db.prepare(`SELECT id, output, input_id AS inputId, service, pulled_at AS pulledAt, environment, at, reason, size, fingerprint, event
      FROM dead_letters WHERE id > ? AND id <= ? ORDER BY id`)
    this.#last = db.prepare<[], number | null>('SELECT max(id) FROM dead_letters').pluck()
    this.#remove = db.prepare('DELETE FROM dead_letters WHERE id = ?')
    this.#amount = db.prepare(`SELECT count(*) AS letters, coalesce(sum(length(event) + ${ROW_BYTES}), 0) AS bytes FROM dead_letters WHERE output IS ?`)
    this.#openOutputs = db.prepare<[], number>('SELECT count(*) FROM outputs WHERE open = 1').pluck()
  }

  add(letters: readonly DeadLetter[]): void {
    for (const { output, inputId, service, pulledAt, environment, at, reason, size, fingerprint, event } of letters)
      this.#add.run(output, inputId, service, pulledAt, environment, at, reason, size, fingerprint, event)
  }

  remove(ids: readonly number[]): void {
    for (const id of ids) this.#remove.run(id)
  }

  /** Throws RetryableError where the output (null: the source) may add no more to a buffer of this size. */
  assertRoom(output: string | null, maxSizeBytes: number): void {
    const amount = this.#amount.get(output)
    if (amount !== undefined) assertRoomForDeadLetters(output, amount, (maxSizeBytes * SHARE_OF_SIZE) / ((this.#openOutputs.get() ?? 0) + 1))
  }

  last(): number {
    return this.#last.get() ?? 0
  }

  page(after: number, upTo: number): KeptDeadLetter[] {
    const page: KeptDeadLetter[] = []
    let bytes = 0
    for (const row of this.#rows.iterate(after, upTo)) {
      page.push(row)
      bytes += row.event.length + ROW_BYTES
      if (bytes >= PAGE_BYTES) break
    }
    return page
  }
}

/**
 * The dead letters of a state folder, beside the collector that holds it or without one; none where none has ever run. The caller owes a `close`.
 * Throws FatalError and RetryableError as `readSnapshot` does.
 */
export function openDeadLettersBeside(dir: string): DeadLetterStore {
  const path = databasePath(dir)
  if (!existsSync(path)) return NO_DEAD_LETTERS
  try {
    const db = new Database(path, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS })
    try {
      checkIdentity(db, path, MIGRATIONS)
      db.pragma('synchronous = FULL')
      return storeOf(db, path)
    } catch (error) {
      db.close()
      throw error
    }
  } catch (error) {
    throw explainOpening(error, 'opening', path)
  }
}

function storeOf(db: Database.Database, path: string): DeadLetterStore {
  const table = new DeadLetterTable(db)
  const tried = <Result>(doing: string, work: () => Result): Result => {
    try {
      return work()
    } catch (error) {
      throw explainFailure(error, doing, path)
    }
  }
  return {
    async *read(after = 0) {
      const last = tried('reading', () => table.last())
      for (let from = after; ; ) {
        const page = tried('reading', () => table.page(from, last))
        yield* page
        const end = page.at(-1)
        if (end === undefined) return
        from = end.id
      }
    },
    async replace(removed, added) {
      const replace = db.transaction(() => {
        table.remove(removed)
        table.add(added)
      })
      tried('writing to', () => replace.immediate())
    },
    async claimRetries() {
      const lock = lockRetries(dirname(path))
      if (lock === null) throw new RetriesTakenError()
      // Whoever moves the buffer to Kafka holds it meanwhile.
      if (!existsSync(path)) {
        lock.close()
        throw new RetryableError(`${path} was moved at this moment; give the command again`, { code: 'MoveUnderWay' })
      }
      return { lost: NEVER, release: async () => void lock.close() }
    },
    close: async () => void db.close(),
  }
}
