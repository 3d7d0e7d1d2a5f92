import { renameSync, rmSync } from 'node:fs'
import type { Database } from 'better-sqlite3'
import { createPrivately } from './lock.ts'
import { FIRST_VERSION } from './schema.ts'

/** Brings a file from one version to the next; runs inside a transaction together with all others that are due. */
export type Migration = (db: Database) => void

/** `MIGRATIONS[0]` leads from version 1 to 2, and so on. A step that has been released never changes. */
export const MIGRATIONS: readonly Migration[] = [
  (db) => db.exec('ALTER TABLE outputs ADD COLUMN missed_events INTEGER NOT NULL DEFAULT 0'),
  // passed_over: see PassedRun. move_id: of the move that has made this file out of a Kafka buffer; null where it began here.
  (db) =>
    db.exec(`CREATE TABLE passed_over (
        output TEXT NOT NULL,
        first_chunk INTEGER NOT NULL,
        last_chunk INTEGER NOT NULL,
        events_before INTEGER NOT NULL,
        events_after INTEGER NOT NULL,
        PRIMARY KEY (output, first_chunk)
      ) WITHOUT ROWID;
      ALTER TABLE log ADD COLUMN move_id TEXT`),
]

export function latestVersion(migrations: readonly Migration[]): number {
  return FIRST_VERSION + migrations.length
}

/** Brings the file to the latest version, after a copy of it as it was (`buffer.db.version-1`), which is returned; null where nothing was due. */
export function migrate(db: Database, path: string, version: number, migrations: readonly Migration[]): string | null {
  const due = migrations.slice(version - FIRST_VERSION)
  if (due.length === 0) return null
  const copy = `${path}.version-${version}`
  const unfinished = `${copy}.unfinished`
  rmSync(unfinished, { force: true })
  createPrivately(unfinished)
  db.prepare('VACUUM INTO ?').run(unfinished)
  renameSync(unfinished, copy)
  db.transaction(() => {
    for (const step of due) step(db)
    db.pragma(`user_version = ${latestVersion(migrations)}`)
  }).immediate()
  return copy
}
