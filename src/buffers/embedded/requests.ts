import type { Database, Statement } from 'better-sqlite3'

/** The quota log: requests sent, by pool and minute since the epoch. Callers own the transactions. */
export class RequestLog {
  readonly #load: Statement<[string], [number, number]>
  readonly #add: Statement<[string, number]>
  readonly #forget: Statement<[string, number]>

  constructor(db: Database) {
    this.#load = db.prepare<[string], [number, number]>('SELECT minute, requests FROM requests WHERE pool = ? ORDER BY minute').raw()
    this.#add = db.prepare('INSERT INTO requests (pool, minute, requests) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET requests = requests + 1')
    this.#forget = db.prepare('DELETE FROM requests WHERE pool = ? AND minute < ?')
  }

  load(pool: string): [number, number][] {
    return this.#load.all(pool)
  }

  count(pool: string, minute: number, forgetBefore: number): void {
    this.#add.run(pool, minute)
    this.#forget.run(pool, forgetBefore)
  }
}
