import type { Database } from 'better-sqlite3'
import { damaged } from './failures.ts'
import { SMALL_TABLES } from './schema.ts'

interface Column {
  readonly name: string
  readonly type: string
  readonly notnull: 0 | 1
  readonly pk: number
}

/** SQLite lists a hundred of them, below a heading. */
function firstFinding(verdict: string): string {
  return verdict.split('\n').find((line) => !line.startsWith('***')) ?? verdict
}

/**
 * Throws FatalError where a small table is not whole, holds something of another kind than its columns say, or does not fit the log. A disk
 * that gives another page than the one that was asked for gives one that is whole in itself.
 */
export function checkSmallTables(db: Database, path: string): void {
  for (const table of SMALL_TABLES) {
    const verdict = db.pragma(`quick_check('${table}')`, { simple: true })
    if (verdict !== 'ok') throw damaged(path, firstFinding(String(verdict)))
    const columns = db.prepare<[string], Column>('SELECT name, type, "notnull", pk FROM pragma_table_info(?)').all(table)
    const wrong = columns.map(({ name, type, notnull, pk }) => {
      // A time that was reckoned may have a fraction, and is kept with it.
      const kinds = [`'${type.toLowerCase()}'`, ...(type === 'INTEGER' ? ["'real'"] : []), ...(notnull === 1 || pk > 0 ? [] : ["'null'"])]
      return `typeof(${name}) NOT IN (${kinds.join(', ')})`
    })
    if (db.prepare(`SELECT 1 FROM ${table} WHERE ${wrong.join(' OR ')} LIMIT 1`).get() !== undefined)
      throw damaged(path, `the table ${table} holds what does not belong there`)
  }
  // Events come with the mark of their service; without it the service would begin anew.
  if (db.prepare('SELECT 1 FROM log WHERE appended_chunk > 0 AND NOT EXISTS (SELECT 1 FROM services)').get() !== undefined)
    throw damaged(path, 'it has events, but no service')
  const lost = db
    .prepare<[], string>(
      `SELECT name FROM outputs, log WHERE chunk < 0 OR chunk > appended_chunk OR (chunk <= removed_chunk AND events > removed_events)
        OR (chunk > removed_chunk AND events IS NOT (SELECT c.events_before + c.events FROM chunks c WHERE c.chunk = outputs.chunk)) LIMIT 1`,
    )
    .pluck()
    .get()
  if (lost !== undefined) throw damaged(path, `the output ${lost} has a place that the log does not have`)
}
