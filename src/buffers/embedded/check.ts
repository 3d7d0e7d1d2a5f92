import type { Database } from 'better-sqlite3'
import { damaged } from './failures.ts'
import { SMALL_TABLES } from './schema.ts'

interface Column {
  readonly name: string
  readonly type: string
  readonly notnull: 0 | 1
  readonly pk: number
}

/**
 * Throws FatalError where a small table is not whole, holds something of another kind than its columns say, or has outputs that are nowhere in
 * the log. A disk that gives another page than the one that was asked for gives one that is whole in itself.
 */
export function checkSmallTables(db: Database, path: string): void {
  for (const table of SMALL_TABLES) {
    const verdict = db.pragma(`quick_check('${table}')`, { simple: true })
    if (verdict !== 'ok') throw damaged(path, String(verdict))
    const columns = db.prepare<[string], Column>('SELECT name, type, "notnull", pk FROM pragma_table_info(?)').all(table)
    const wrong = columns.map(({ name, type, notnull, pk }) => {
      const kinds = [`'${type.toLowerCase()}'`, ...(notnull === 1 || pk > 0 ? [] : ["'null'"])]
      return `typeof(${name}) NOT IN (${kinds.join(', ')})`
    })
    if (db.prepare(`SELECT 1 FROM ${table} WHERE ${wrong.join(' OR ')} LIMIT 1`).get() !== undefined)
      throw damaged(path, `the table ${table} holds what does not belong there`)
  }
  const lost = db
    .prepare<[], string>(
      `SELECT name FROM outputs, log WHERE chunk < 0 OR chunk > appended_chunk OR (chunk <= removed_chunk AND events > removed_events)
        OR (chunk > removed_chunk AND events IS NOT (SELECT c.events_before + c.events FROM chunks c WHERE c.chunk = outputs.chunk)) LIMIT 1`,
    )
    .pluck()
    .get()
  if (lost !== undefined) throw damaged(path, `the output ${lost} has a place that the log does not have`)
}
