import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import { readSnapshot } from '../../../src/buffers/embedded/reader.ts'
import { FatalError } from '../../../src/pipeline/errors.ts'
import { padded, readShipment, unitOf } from '../../contract/buffer-units.ts'
import { optionsFor, temporaryFolder } from './fixtures.ts'

const PAGE = 16_384
const EVENTS = 3000
let good: Buffer

beforeAll(async () => {
  const dir = mkdtempSync(join(tmpdir(), 'tap-buffer-'))
  const buffer = await openEmbeddedBuffer(optionsFor(dir))
  await buffer.openOutputs([{ name: 'devo', startFrom: 'now' }])
  for (let unit = 0; unit < 3; unit += 1) {
    await buffer.append(unitOf({ chunks: Array.from({ length: 10 }, (_, chunk) => padded(unit * 1000 + chunk * 100, 100, 500)) }))
  }
  await buffer.close()
  good = readFileSync(join(dir, 'buffer.db'))
  rmSync(dir, { recursive: true })
})

function overwritten(at: number, count: number): Buffer {
  const bytes = Buffer.from(good)
  for (let index = 0; index < count; index += 1) bytes[at + index] = (index * 37 + 11) & 255
  return bytes
}

function folderWith(bytes: Buffer): { dir: string; path: string } {
  const dir = temporaryFolder()
  const path = join(dir, 'buffer.db')
  writeFileSync(path, bytes)
  return { dir, path }
}

async function refusesToOpen(bytes: Buffer, message: RegExp): Promise<void> {
  const { dir, path } = folderWith(bytes)
  for (const inThread of [true, false]) {
    const opening = openEmbeddedBuffer(optionsFor(dir, { inThread }))
    await expect(opening).rejects.toThrow(message)
    await expect(opening).rejects.toBeInstanceOf(FatalError)
  }
  expect(readFileSync(path).equals(bytes)).toBe(true)
  await expect(readSnapshot(dir)).rejects.toBeInstanceOf(FatalError)
}

describe('a file that cannot be trusted is an error that says what to do, and stays as it is', () => {
  test('its header is overwritten', () => refusesToOpen(overwritten(0, 100), /damaged .*move the file away/s))
  test('its format version is overwritten', () => refusesToOpen(overwritten(44, 4), /damaged/))
  test('its schema is overwritten', () => refusesToOpen(overwritten(100, 200), /damaged/))
  test('it is empty', () => refusesToOpen(Buffer.alloc(0), /damaged .*0 bytes/s))
  test('it is cut to a few bytes', () => refusesToOpen(good.subarray(0, 50), /not a buffer of this collector|damaged/))
  test('it is no database', () => refusesToOpen(Buffer.from('just some text\n'.repeat(5000)), /damaged/))

  test('it is cut in half', async () => {
    const { dir, path } = folderWith(good.subarray(0, PAGE * 60))
    await expect(openEmbeddedBuffer(optionsFor(dir))).rejects.toBeInstanceOf(FatalError)
    expect(readFileSync(path).equals(good.subarray(0, PAGE * 60))).toBe(true)
  })

  test('it lacks the last page only', async () => {
    const { dir } = folderWith(good.subarray(0, good.length - PAGE))
    await expect(openEmbeddedBuffer(optionsFor(dir))).rejects.toBeInstanceOf(FatalError)
  })

  test('it belongs to another application', async () => {
    const dir = temporaryFolder()
    const other = new Database(join(dir, 'buffer.db'))
    other.exec('CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)')
    other.close()
    await refusesToOpen(readFileSync(join(dir, 'buffer.db')), /not a buffer of this collector: it belongs to another application/)
  })

  test('it has a newer version', async () => {
    const { dir, path } = folderWith(good)
    const newer = new Database(path)
    newer.pragma('user_version = 99')
    newer.close()
    await refusesToOpen(readFileSync(join(dir, 'buffer.db')), /version 99, this program knows up to \d+\./)
  })

  test('a table is gone, or chunks at an end are', async () => {
    for (const sql of ['DROP TABLE outputs', 'DELETE FROM chunks WHERE chunk = 30', 'DELETE FROM chunks WHERE chunk = 1', 'DELETE FROM log']) {
      const { dir, path } = folderWith(good)
      const db = new Database(path)
      db.exec(sql)
      db.close()
      await expect(openEmbeddedBuffer(optionsFor(dir)), sql).rejects.toBeInstanceOf(FatalError)
    }
  })
})

describe('damage that the start does not see shows when it is read: never is a changed or missing event delivered', () => {
  test('wherever a page is overwritten, all is read right or it is a FatalError', async () => {
    let refused = 0
    for (let page = 1; page < good.length / PAGE; page += 11) {
      const { dir } = folderWith(overwritten(page * PAGE + 5000, 16))
      try {
        const buffer = await openEmbeddedBuffer(optionsFor(dir, { inThread: true }))
        onTestFinished(() => buffer.close())
        const { events } = await readShipment(buffer, 'devo', '0')
        expect(events.length, `page ${page}`).toBe(EVENTS)
        expect(events.every((event, index) => event.startsWith(`{"n":${index},"pad":"xxx`) && !/[^x]/.test(event.slice(20, -2)))).toBe(true)
      } catch (error) {
        if (!(error instanceof FatalError)) throw error
        refused += 1
      }
    }
    expect(refused).toBeGreaterThan(5)
  })

  test('one flipped bit in an event', async () => {
    const bytes = Buffer.from(good)
    const at = bytes.indexOf('{"n":1234,')
    bytes[at + 5] = (bytes[at + 5] ?? 0) ^ 1
    const { dir } = folderWith(bytes)
    const buffer = await openEmbeddedBuffer(optionsFor(dir))
    onTestFinished(() => buffer.close())
    const reading = readShipment(buffer, 'devo', '0')
    await expect(reading).rejects.toThrow(/the bytes of chunk 13 .* are not those that were written/)
    await expect(reading).rejects.toBeInstanceOf(FatalError)
  })

  test('a chunk that is gone from the middle', async () => {
    const { dir, path } = folderWith(good)
    const db = new Database(path)
    db.exec('DELETE FROM chunks WHERE chunk = 15')
    db.close()
    const buffer = await openEmbeddedBuffer(optionsFor(dir))
    onTestFinished(() => buffer.close())
    await expect(readShipment(buffer, 'devo', '0')).rejects.toThrow(/chunk 15 is missing/)
  })
})

test('the folder of a refused file can be used again at once', async () => {
  const { dir, path } = folderWith(overwritten(0, 100))
  await expect(openEmbeddedBuffer(optionsFor(dir))).rejects.toBeInstanceOf(FatalError)
  const aside = join(dir, 'aside')
  mkdirSync(aside)
  copyFileSync(path, join(aside, 'buffer.db'))
  writeFileSync(path, good)
  const buffer = await openEmbeddedBuffer(optionsFor(dir))
  onTestFinished(() => buffer.close())
  expect((await readShipment(buffer, 'devo', '0')).eventsRead).toBe(EVENTS)
  expect(existsSync(join(aside, 'buffer.db'))).toBe(true)
})
