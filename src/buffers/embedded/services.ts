import type { Database, Statement } from 'better-sqlite3'
import { readerOf, type Hole, type ServiceState, type Unit, type Window } from '../../pipeline/unit.ts'

type Key = [inputId: string, service: string]
type WindowKey = [...Key, from: number, to: number]

interface ServiceRow {
  readonly settled: number
  readonly readAt: number
  readonly startTime: number | null
}

interface SeenRow extends Window {
  readonly fingerprints: Buffer
}

/** Where every service stands: mark, holes, gaps and fingerprints. Callers own the transactions. */
export class ServiceTable {
  readonly #state: Statement<Key, ServiceRow>
  readonly #holes: Statement<Key, Hole>
  readonly #seen: Statement<Key, SeenRow>
  readonly #start: Statement<[...Key, number, number | null]>
  readonly #move: Statement<[...Key, number, number]>
  readonly #clearHoles: Statement<Key>
  readonly #clearSeen: Statement<Key>
  readonly #addHole: Statement<[...WindowKey, number, number, string]>
  readonly #addGap: Statement<[...WindowKey, number, string]>
  readonly #addSeen: Statement<[...WindowKey, Uint8Array]>
  readonly #forget: Statement<WindowKey>

  constructor(db: Database) {
    const window = 'window_from AS "from", window_to AS "to"'
    const key = 'WHERE input_id = ? AND service = ?'
    this.#state = db.prepare(`SELECT settled, read_at AS readAt, start_time AS startTime FROM services ${key}`)
    this.#holes = db.prepare(`SELECT ${window}, since, tried_at AS triedAt, reason FROM holes ${key} ORDER BY window_from`)
    this.#seen = db.prepare(`SELECT ${window}, fingerprints FROM seen ${key} ORDER BY id`)
    this.#start = db.prepare('INSERT OR REPLACE INTO services (input_id, service, settled, read_at, start_time) VALUES (?, ?, ?, 0, ?)')
    this.#move = db.prepare(`INSERT INTO services (input_id, service, settled, read_at, start_time) VALUES (?, ?, ?, ?, NULL)
      ON CONFLICT DO UPDATE SET settled = excluded.settled, read_at = excluded.read_at`)
    this.#clearHoles = db.prepare(`DELETE FROM holes ${key}`)
    this.#clearSeen = db.prepare(`DELETE FROM seen ${key}`)
    this.#addHole = db.prepare('INSERT INTO holes (input_id, service, window_from, window_to, since, tried_at, reason) VALUES (?, ?, ?, ?, ?, ?, ?)')
    this.#addGap = db.prepare('INSERT INTO gaps (input_id, service, window_from, window_to, recorded_at, reason) VALUES (?, ?, ?, ?, ?, ?)')
    this.#addSeen = db.prepare('INSERT INTO seen (input_id, service, window_from, window_to, fingerprints) VALUES (?, ?, ?, ?, ?)')
    this.#forget = db.prepare(`DELETE FROM seen ${key} AND window_from = ? AND window_to = ?`)
  }

  load(inputId: string, service: string): ServiceState | null {
    const state = this.#state.get(inputId, service)
    if (state === undefined) return null
    const seen = this.#seen.all(inputId, service).map(({ from, to, fingerprints }) => ({ window: { from, to }, fingerprints }))
    return { ...state, holes: this.#holes.all(inputId, service), seen }
  }

  start(inputId: string, service: string, settled: number, startTime: number | null): void {
    this.#clearHoles.run(inputId, service)
    this.#clearSeen.run(inputId, service)
    this.#start.run(inputId, service, settled, startTime)
  }

  move(unit: Pick<Unit, 'inputId' | 'service' | 'reader' | 'position'>): void {
    const { inputId, position } = unit
    const service = readerOf(unit)
    this.#move.run(inputId, service, position.settled, position.readAt)
    this.#clearHoles.run(inputId, service)
    for (const hole of position.holes) this.#addHole.run(inputId, service, hole.from, hole.to, hole.since, hole.triedAt, hole.reason)
    for (const gap of position.gaps) this.#addGap.run(inputId, service, gap.from, gap.to, gap.recordedAt, gap.reason)
    for (const window of position.forgotten) this.#forget.run(inputId, service, window.from, window.to)
    const { seen } = position
    if (seen !== null) this.#addSeen.run(inputId, service, seen.window.from, seen.window.to, seen.fingerprints)
  }
}
