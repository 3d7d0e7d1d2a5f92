import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, onTestFinished, test } from 'vitest'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import { openEmbeddedReplay } from '../../../src/buffers/embedded/replay.ts'
import { DEAD_LETTERS_MAX } from '../../../src/pipeline/dead-letters.ts'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import { deadLetterOf, HOUR_MS, numbered, openShares, readShipment, textsOf, unitOf } from '../../contract/buffer-units.ts'
import { replayContract } from '../../contract/replay-suite.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'
import { optionsFor, temporaryFolder } from './fixtures.ts'

const pulled = { from: -Infinity, to: Infinity }
const { signal } = new AbortController()

function replayOf(dir: string) {
  const store = openEmbeddedReplay({ dir, maxSizeBytes: 1e9, pulled })
  if (store === null) throw new Error('no buffer is there')
  onTestFinished(() => store.close())
  return store
}

replayContract('the embedded buffer', async () => {
  const dir = temporaryFolder()
  return { open: () => openEmbeddedBuffer(optionsFor(dir)), replay: async (range) => openEmbeddedReplay({ dir, maxSizeBytes: 1e9, pulled: range }) }
})

test('where no collector has run there is none', () => {
  expect(openEmbeddedReplay({ dir: temporaryFolder(), maxSizeBytes: 1e9, pulled })).toBeNull()
})

test('what the retention takes meanwhile is passed over, and known to be missed', async () => {
  const dir = temporaryFolder()
  const clock = new VirtualClock(Date.UTC(2026, 10, 20))
  const buffer = await openEmbeddedBuffer(optionsFor(dir, { clock, inThread: true, retentionMs: HOUR_MS }))
  onTestFinished(() => buffer.close())
  await openShares(buffer, [{ name: 'a', startFrom: 'now' }])
  await buffer.append(unitOf({ chunks: [numbered(0, 3), numbered(3, 3)], pulledAt: clock.now() }))
  await clock.advance(2 * HOUR_MS)
  await buffer.append(unitOf({ chunks: [numbered(6, 3)], pulledAt: clock.now() }))
  const store = replayOf(dir)
  const steps = store.steps({ from: store.begin, to: store.end, isWanted: () => true, maxEvents: 2, signal })
  const seen = [(await steps.next()).value]
  const { cursor } = await readShipment(buffer, 'a', '0')
  await buffer.commit('a', cursor, [])
  await clock.advance(HOUR_MS / 2)
  for await (const step of steps) seen.push(step)
  expect(seen.flatMap((step) => (step?.batch ? textsOf(step.batch) : []))).toEqual([...numbered(0, 3), ...numbered(6, 3)])
  expect(store.missed).toBe(true)
  const later = replayOf(dir)
  expect([later.hasRemoved, later.missed]).toEqual([true, false])
  // A replay that goes on from a place that is gone, in the middle of a chunk.
  const left: string[] = []
  for await (const { batch } of later.steps({ from: '0+2', to: later.end, isWanted: () => true, maxEvents: 100, signal })) if (batch !== null) left.push(...textsOf(batch))
  expect(left).toEqual(numbered(6, 3))
  expect(later.missed).toBe(true)
})

test('bytes that the disk has changed are not sent', async () => {
  const dir = temporaryFolder()
  const buffer = await openEmbeddedBuffer(optionsFor(dir))
  await buffer.append(unitOf({ chunks: [numbered(0, 3)] }))
  await buffer.close()
  const tool = new Database(join(dir, 'buffer.db'))
  tool.exec(`UPDATE chunks SET lines = replace(lines, '2', '7')`)
  tool.close()
  const store = replayOf(dir)
  await expect(store.steps({ from: store.begin, to: store.end, isWanted: () => true, maxEvents: 2, signal }).next()).rejects.toThrow(/chunk 1 .*are not those that were written/)
})

test('its place is a private file; one that is damaged is told', async () => {
  const dir = temporaryFolder()
  await (await openEmbeddedBuffer(optionsFor(dir))).close()
  const store = replayOf(dir)
  await store.save('00000001', { request: 'r', run: 'x', cursors: { a: '0' } })
  const path = join(dir, 'replay-00000001.json')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ request: 'r', run: 'x', cursors: { a: '0' } })
  for (const text of ['', '{"request":"r","run":"x"}', '{"request":"r","run":"x","cursors":7}', '{"request":"r","cursors":{}}']) {
    writeFileSync(path, text)
    await expect(store.load('00000001')).rejects.toThrow(/replay-00000001.json is damaged.*begin the replay anew/)
  }
})

test('too many dead letters hold it up, as they hold up live delivery', async () => {
  const dir = temporaryFolder()
  const buffer = await openEmbeddedBuffer(optionsFor(dir))
  onTestFinished(() => buffer.close())
  const letter = deadLetterOf('{}', 'a')
  const store = replayOf(dir)
  await store.keep('a', Array.from({ length: DEAD_LETTERS_MAX }, () => letter))
  await expect(store.keep('a', [letter])).rejects.toThrow(RetryableError)
  await store.keep('b', [letter])
})
