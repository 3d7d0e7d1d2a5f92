import type { Database } from 'better-sqlite3'
import type { BufferSnapshot } from '../../pipeline/buffer.ts'
import type { Gap, Hole } from '../../pipeline/unit.ts'
import { passedEventsBetween } from './passed-over.ts'
import { sizeInBytes } from './room.ts'

type Of<Row> = Row & { readonly inputId: string; readonly service: string }

/** One consistent look; works on the writer's connection and on a read-only one beside it. */
export function takeSnapshot(db: Database, path: string): BufferSnapshot {
  return db.transaction((): BufferSnapshot => {
    const window = 'input_id AS inputId, service, window_from AS "from", window_to AS "to"'
    const holes = groupByService(db.prepare<[], Of<Hole>>(`SELECT ${window}, since, tried_at AS triedAt, reason FROM holes ORDER BY window_from`).all())
    const gaps = groupByService(db.prepare<[], Of<Gap>>(`SELECT ${window}, recorded_at AS recordedAt, reason FROM gaps ORDER BY window_from`).all())
    const services = db
      .prepare<[], Of<{ settled: number; readAt: number; startTime: number | null }>>(
        'SELECT input_id AS inputId, service, settled, read_at AS readAt, start_time AS startTime FROM services ORDER BY input_id, service',
      )
      .all()
      .map((row) => ({ ...row, holes: holes.get(keyOf(row)) ?? [], gaps: gaps.get(keyOf(row)) ?? [] }))
    const outputs = db
      .prepare<[], { name: string; open: number; backlogEvents: number; provenAt: number; missedEvents: number; deadLetters: number }>(
        `SELECT name, open, log.appended_events - max(events, log.removed_events) - ${
          hasTable(db, 'passed_over') ? passedEventsBetween('max(events, log.removed_events)', 'log.appended_events') : '0'
        } AS backlogEvents, proven_at AS provenAt, ${hasColumn(db, 'outputs', 'missed_events') ? 'missed_events' : '0'} AS missedEvents,
          (SELECT count(*) FROM dead_letters WHERE output = name) AS deadLetters FROM outputs, log ORDER BY name`,
      )
      .all()
      .map((row) => ({ ...row, open: row.open === 1 }))
    return {
      services,
      outputs,
      sourceDeadLetters: db.prepare<[], number>('SELECT count(*) FROM dead_letters WHERE output IS NULL').pluck().get() ?? 0,
      pools: pools(db),
      sizeInBytes: sizeInBytes(db, path),
      maxSizeInBytes: db.prepare<[], number>('SELECT max_size_in_bytes FROM log').pluck().get() ?? 0,
    }
  })()
}

/** A look from outside meets older files: only the collector brings them to the latest version. */
function hasColumn(db: Database, table: string, column: string): boolean {
  return db.prepare('SELECT 1 FROM pragma_table_info(?) WHERE name = ?').get(table, column) !== undefined
}

function hasTable(db: Database, table: string): boolean {
  return db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table) !== undefined
}

function pools(db: Database): BufferSnapshot['pools'] {
  const pools = new Map<string, [number, number][]>()
  const rows = db.prepare<[], { pool: string; minute: number; requests: number }>('SELECT pool, minute, requests FROM requests ORDER BY pool, minute').all()
  for (const { pool, minute, requests } of rows) {
    const minutes = pools.get(pool)
    if (minutes === undefined) pools.set(pool, [[minute, requests]])
    else minutes.push([minute, requests])
  }
  return [...pools].map(([pool, minutes]) => ({ pool, minutes }))
}

function keyOf({ inputId, service }: { inputId: string; service: string }): string {
  return JSON.stringify([inputId, service])
}

function groupByService<Row extends object>(rows: readonly Of<Row>[]): Map<string, Omit<Of<Row>, 'inputId' | 'service'>[]> {
  const groups = new Map<string, Omit<Of<Row>, 'inputId' | 'service'>[]>()
  for (const row of rows) {
    const { inputId: _inputId, service: _service, ...rest } = row
    const group = groups.get(keyOf(row))
    if (group === undefined) groups.set(keyOf(row), [rest])
    else group.push(rest)
  }
  return groups
}
