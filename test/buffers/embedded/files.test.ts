import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { openDatabase } from '../../../src/buffers/embedded/database.ts'
import { MIGRATIONS } from '../../../src/buffers/embedded/migrations.ts'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import { readSnapshot } from '../../../src/buffers/embedded/reader.ts'
import { FatalError } from '../../../src/pipeline/errors.ts'
import { deadLetterOf, numbered, readShipment, unitOf } from '../../contract/buffer-units.ts'
import { openFor, optionsFor, temporaryFolder } from './fixtures.ts'

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

test('the folder and all files in it are for their owner only', async () => {
  const dir = join(temporaryFolder(), 'not', 'there', 'yet')
  const buffer = await openFor(dir)
  await buffer.append(unitOf({ chunks: [numbered(0, 3)] }))
  expect(modeOf(dir)).toBe('700')
  const modes = Object.fromEntries(readdirSync(dir).map((file) => [file, modeOf(join(dir, file))]))
  expect(modes).toEqual({ 'buffer.db': '600', 'buffer.db-wal': '600', 'buffer.db-shm': '600', 'buffer.lock': '600', 'buffer.lock.json': '600' })
  await buffer.close()
  expect(readdirSync(dir).sort()).toEqual(['buffer.db', 'buffer.lock'])
})

test('the mode of a folder that was there stays', async () => {
  const dir = join(temporaryFolder(), 'state')
  mkdirSync(dir, { mode: 0o755 })
  await openFor(dir)
  expect(modeOf(dir)).toBe('755')
})

test('every commit reaches the disk: WAL with synchronous FULL, and the page and cache sizes of the design', async () => {
  const dir = temporaryFolder()
  await (await openEmbeddedBuffer(optionsFor(dir))).close()
  const db = openDatabase(dir, MIGRATIONS)
  try {
    const pragma = (name: string) => db.pragma(name, { simple: true })
    expect([pragma('journal_mode'), pragma('synchronous'), pragma('page_size'), pragma('cache_size')]).toEqual(['wal', 2, 16_384, -4096])
  } finally {
    db.close()
  }
})

test('any SQLite tool shows events as text and dead letters with their reason', async () => {
  const dir = temporaryFolder()
  const buffer = await openFor(dir)
  await buffer.append(unitOf({ chunks: [['{"a":"é"}', '{"a":2}']], deadLetters: [deadLetterOf('{"bad":1}', null, 'too deep')] }))
  const tool = new Database(join(dir, 'buffer.db'), { readonly: true })
  try {
    expect(tool.prepare('SELECT typeof(lines) AS type, lines, events, service FROM chunks').all()).toEqual([
      { type: 'text', lines: '{"a":"é"}\n{"a":2}\n', events: 2, service: 'clicksBlocked' },
    ])
    expect(tool.prepare('SELECT CAST(event AS TEXT) AS event, reason, output FROM dead_letters').all()).toEqual([
      { event: '{"bad":1}', reason: 'too deep', output: null },
    ])
  } finally {
    tool.close()
  }
})

test('a buffer that was moved or replaced while in use is an error, not events written to nowhere', async () => {
  const dir = temporaryFolder()
  const buffer = await openFor(dir)
  await buffer.append(unitOf({ chunks: [numbered(0, 3)] }))
  renameSync(join(dir, 'buffer.db'), join(dir, 'moved.db'))
  await expect(buffer.append(unitOf({ chunks: [numbered(3, 3)] }))).rejects.toThrow(/moved or replaced/)
  await expect(buffer.assertRoom()).rejects.toThrow(FatalError)
  renameSync(join(dir, 'moved.db'), join(dir, 'buffer.db'))
  await buffer.append(unitOf({ chunks: [numbered(3, 3)] }))
})

test('a kill while the file is being made leaves nothing that stands in the way', async () => {
  const dir = temporaryFolder()
  for (const suffix of ['', '-wal', '-shm', '-journal']) writeFileSync(join(dir, `buffer.db.unfinished${suffix}`), 'half a file')
  await openFor(dir)
  expect(existsSync(join(dir, 'buffer.db.unfinished'))).toBe(false)
})

test('a missing file beside its log is no fresh start', async () => {
  const dir = temporaryFolder()
  writeFileSync(join(dir, 'buffer.db-wal'), 'events were here')
  await expect(openEmbeddedBuffer(optionsFor(dir))).rejects.toThrow(/is missing, but its log/)
  expect(existsSync(join(dir, 'buffer.db'))).toBe(false)
})

test('a state folder that is a file is said to be one', async () => {
  const path = join(temporaryFolder(), 'state')
  writeFileSync(path, '')
  await expect(openEmbeddedBuffer(optionsFor(path))).rejects.toThrow(FatalError)
  await expect(openEmbeddedBuffer(optionsFor(join(path, 'below')))).rejects.toThrow(/is a file and not a folder/)
})

test('status reads beside a running collector, without one, and where none has ever run', async () => {
  const dir = temporaryFolder()
  expect((await readSnapshot(dir)).services).toEqual([])
  expect(readdirSync(dir)).toEqual([])
  const buffer = await openFor(dir, { maxSizeBytes: 2 ** 30 })
  await buffer.openOutputs([{ name: 'devo', startFrom: 'now' }])
  await buffer.append(unitOf({ chunks: [numbered(0, 3)], position: { settled: 77 } }))
  const beside = await readSnapshot(dir)
  expect(beside).toMatchObject({ services: [{ settled: 77 }], outputs: [{ name: 'devo', open: true, backlogEvents: 3 }], maxSizeInBytes: 2 ** 30 })
  expect(beside).toEqual(await buffer.snapshot())
  await buffer.close()
  const { sizeInBytes: _size, ...after } = await readSnapshot(dir)
  expect(beside).toMatchObject(after)
  rmSync(join(dir, 'buffer.lock'))
  const reopened = await openFor(dir)
  expect((await readShipment(reopened, 'devo', '0')).events).toEqual(numbered(0, 3))
})
