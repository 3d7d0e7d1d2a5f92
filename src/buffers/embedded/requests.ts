import type { Database, Statement } from 'better-sqlite3'
import type { MinuteLimit } from '../../pipeline/source.ts'

/** The quota log: requests sent, by pool and minute since the epoch. Callers own the transactions. */
export class RequestLog {
  readonly #load: Statement<[string], [number, number]>
  readonly #add: Statement<[string, number]>
  readonly #forget: Statement<[string, number]>
  readonly #sum: Statement<[string, number, number], number>

  constructor(db: Database) {
    this.#load = db.prepare<[string], [number, number]>('SELECT minute, requests FROM requests WHERE pool = ? ORDER BY minute').raw()
    this.#add = db.prepare('INSERT INTO requests (pool, minute, requests) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET requests = requests + 1')
    this.#forget = db.prepare('DELETE FROM requests WHERE pool = ? AND minute < ?')
    this.#sum = db.prepare<[string, number, number], number>('SELECT coalesce(sum(requests), 0) FROM requests WHERE pool = ? AND minute BETWEEN ? AND ?').pluck()
  }

  load(pool: string): [number, number][] {
    return this.#load.all(pool)
  }

  /** Looking and adding are one thing in a transaction that has begun as a writing one. */
  count(pool: string, minute: number, forgetBefore: number, limits: readonly MinuteLimit[] = []): boolean {
    // A process beside this one may be a minute ahead.
    if (limits.some(({ since, requests }) => (this.#sum.get(pool, since, minute + 1) ?? 0) >= requests)) return false
    this.#add.run(pool, minute)
    this.#forget.run(pool, forgetBefore)
    return true
  }
}
