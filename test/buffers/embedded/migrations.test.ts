import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { latestVersion, MIGRATIONS, type Migration } from '../../../src/buffers/embedded/migrations.ts'
import { readSnapshot } from '../../../src/buffers/embedded/reader.ts'
import { APPLICATION_ID, SCHEMA } from '../../../src/buffers/embedded/schema.ts'
import type { StoreOptions } from '../../../src/buffers/embedded/store.ts'
import { EmbeddedStore } from '../../../src/buffers/embedded/store.ts'
import { INPUT, numbered, SERVICE, textsOf, unitOf } from '../../contract/buffer-units.ts'
import { MIB, temporaryFolder } from './fixtures.ts'

const addNote: Migration = (db) => {
  db.exec("ALTER TABLE outputs ADD COLUMN note TEXT NOT NULL DEFAULT 'migrated'")
}
const options = (dir: string): StoreOptions => ({ dir, retentionMs: 1000, maxSizeBytes: 64 * MIB, now: 0 })

const LATEST = latestVersion(MIGRATIONS)

function latest(): string {
  const dir = temporaryFolder()
  const store = new EmbeddedStore(options(dir))
  store.openOutputs([{ name: 'devo', startFrom: 'now' }])
  store.append(unitOf({ chunks: [numbered(0, 3)], position: { settled: 5 } }))
  store.close()
  return dir
}

function look<Row>(path: string, sql: string): Row[] {
  const db = new Database(path, { readonly: true })
  try {
    return db.prepare<[], Row>(sql).all()
  } finally {
    db.close()
  }
}

function readEvents(store: EmbeddedStore): string[] {
  return store.page({ from: 0, to: null, maxEvents: 100, maxBytes: 1000, first: true }, 'devo').batches.flatMap(({ batch }) => textsOf(batch))
}

test('an older file is brought to the latest version, and a copy as it was stays beside it', () => {
  const dir = latest()
  const store = new EmbeddedStore(options(dir), [...MIGRATIONS, addNote])
  expect(readEvents(store)).toEqual(numbered(0, 3))
  expect(store.loadService(INPUT, SERVICE)?.settled).toBe(5)
  store.close()
  const path = join(dir, 'buffer.db')
  expect(look(path, 'SELECT note FROM outputs')).toEqual([{ note: 'migrated' }])
  expect(look(path, 'PRAGMA user_version')).toEqual([{ user_version: LATEST + 1 }])
  const copy = `${path}.version-${LATEST}`
  expect(statSync(copy).mode & 0o777).toBe(0o600)
  expect(look(copy, 'PRAGMA user_version')).toEqual([{ user_version: LATEST }])
  expect(look(copy, 'SELECT lines FROM chunks')).toEqual([{ lines: numbered(0, 3).map((event) => `${event}\n`).join('') }])
  expect(() => new EmbeddedStore(options(dir))).toThrow(`version ${LATEST + 1}, this program knows up to ${LATEST}`)
})

test('a step that fails leaves the file in its old version, whole, and can be repeated', () => {
  const dir = latest()
  const failing: Migration = (db) => {
    addNote(db)
    throw new Error('made to fail')
  }
  expect(() => new EmbeddedStore(options(dir), [...MIGRATIONS, failing])).toThrow('made to fail')
  const old = new EmbeddedStore(options(dir))
  expect(readEvents(old)).toEqual(numbered(0, 3))
  old.append(unitOf({ chunks: [numbered(3, 1)] }))
  old.close()
  new EmbeddedStore(options(dir), [...MIGRATIONS, addNote]).close()
  expect(look(join(dir, `buffer.db.version-${LATEST}`), 'SELECT max(chunk) AS last FROM chunks')).toEqual([{ last: 2 }])
})

test('several steps run in order; a fresh file needs no copy', () => {
  const dir = temporaryFolder()
  const second: Migration = (db) => {
    db.exec("UPDATE outputs SET note = 'twice'; ALTER TABLE outputs RENAME COLUMN note TO remark")
  }
  const store = new EmbeddedStore(options(dir), [...MIGRATIONS, addNote, second])
  store.openOutputs([{ name: 'devo', startFrom: 'now' }])
  store.close()
  expect(readdirSync(dir).sort()).toEqual(['buffer.db', 'buffer.lock'])
  expect(look(join(dir, 'buffer.db'), 'SELECT remark FROM outputs')).toEqual([{ remark: 'migrated' }])
})

test('a file of the first version can be looked into as it is, and gets its count of missed events when it is opened', async () => {
  const dir = temporaryFolder()
  const path = join(dir, 'buffer.db')
  const db = new Database(path)
  db.pragma('journal_mode = WAL')
  db.exec(SCHEMA)
  db.exec("INSERT INTO outputs VALUES ('devo', 0, 0, 1, 0)")
  db.pragma(`application_id = ${APPLICATION_ID}`)
  db.pragma('user_version = 1')
  db.close()
  expect((await readSnapshot(dir)).outputs).toMatchObject([{ name: 'devo', missedEvents: 0 }])
  expect(look(path, 'PRAGMA user_version')).toEqual([{ user_version: 1 }])
  new EmbeddedStore(options(dir)).close()
  expect(look(path, 'PRAGMA user_version')).toEqual([{ user_version: LATEST }])
  expect(look(path, 'SELECT name, missed_events FROM outputs')).toEqual([{ name: 'devo', missed_events: 0 }])
})
