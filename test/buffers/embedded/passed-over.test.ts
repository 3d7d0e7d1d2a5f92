import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { readSnapshot } from '../../../src/buffers/embedded/reader.ts'
import type { EventBuffer } from '../../../src/pipeline/buffer.ts'
import { numbered, openShares, padded, readShipment, unitOf } from '../../contract/buffer-units.ts'
import { MIB, openFor, temporaryFolder } from './fixtures.ts'

const OUTPUTS = ['a', 'b'].map((name) => ({ name, startFrom: 'now' as const }))
const texts = (...chunks: readonly number[]): string[] => chunks.flatMap((chunk) => numbered((chunk - 1) * 10, 10))

/** Chunks of ten events each, both outputs at the beginning, and the runs of chunks that an output has from elsewhere. */
async function folderWith(chunks: number, runs: Readonly<Record<string, readonly (readonly [first: number, last: number])[]>>, texts = numbered): Promise<string> {
  const dir = temporaryFolder()
  const buffer = await openFor(dir)
  await buffer.openOutputs(OUTPUTS)
  for (let chunk = 0; chunk < chunks; chunk += 1) await buffer.append(unitOf({ chunks: [texts(chunk * 10, 10)] }))
  await buffer.close()
  const db = new Database(join(dir, 'buffer.db'))
  const add = db.prepare('INSERT INTO passed_over (output, first_chunk, last_chunk, events_before, events_after) VALUES (?, ?, ?, ?, ?)')
  for (const [output, ofOutput] of Object.entries(runs)) for (const [first, last] of ofOutput) add.run(output, first, last, (first - 1) * 10, last * 10)
  db.close()
  return dir
}

async function backlogs(buffer: EventBuffer): Promise<number[]> {
  return (await buffer.snapshot()).outputs.map(({ backlogEvents }) => backlogEvents)
}

test('an output passes over what it had before, wherever that lies, and its cursor and its backlog with it', async () => {
  const dir = await folderWith(9, { a: [[1, 2], [5, 5], [8, 9]], b: [[3, 3], [4, 6]] })
  expect((await readSnapshot(dir)).outputs.map(({ backlogEvents }) => backlogEvents)).toEqual([40, 50])
  const buffer = await openFor(dir)
  const shares = await openShares(buffer, OUTPUTS)
  expect(['a', 'b'].map((name) => shares.get(name)?.cursor)).toEqual(['2', '0'])
  expect(await backlogs(buffer)).toEqual([40, 50])
  const ofA = await readShipment(buffer, 'a', '2')
  expect([ofA.events, ofA.cursor]).toEqual([texts(3, 4, 6, 7), '9'])
  const ofB = await readShipment(buffer, 'b', '0')
  expect([ofB.events, ofB.cursor]).toEqual([texts(1, 2, 7, 8, 9), '9'])
  await buffer.commit('a', '4', [])
  await buffer.commit('b', '7', [])
  expect(await backlogs(buffer)).toEqual([20, 20])
})

test('a shipment that ends at a limit ends behind what follows it and is not to be read; a retry ends where the first attempt did', async () => {
  const buffer = await openFor(await folderWith(6, { a: [[2, 3], [5, 6]] }))
  const first = await readShipment(buffer, 'a', '0', { maxEvents: 10 })
  expect([first.events, first.cursor]).toEqual([texts(1), '3'])
  const second = await readShipment(buffer, 'a', first.cursor, { maxEvents: 10 })
  expect([second.events, second.cursor]).toEqual([texts(4), '6'])
  await buffer.append(unitOf({ chunks: [numbered(60, 10)] }))
  const again = await readShipment(buffer, 'a', '0', { to: second.cursor })
  expect([again.events, again.cursor]).toEqual([texts(1, 4), '6'])
  const other = await readShipment(buffer, 'b', '0', { to: '2' })
  expect([other.events, other.cursor]).toEqual([texts(1, 2), '2'])
})

test('nobody waits for an event that is not for him: what lies behind the last one is passed with its commit', async () => {
  const buffer = await openFor(await folderWith(4, { a: [[3, 4]] }))
  const shares = await openShares(buffer, OUTPUTS)
  const { events, cursor } = await readShipment(buffer, 'a', shares.get('a')?.cursor ?? '')
  expect(events).toEqual(texts(1, 2))
  await buffer.commit('a', cursor, [])
  let hasMore = false
  const waiting = buffer.waitBeyond('a', cursor, AbortSignal.timeout(10_000)).then(() => (hasMore = true))
  expect(await backlogs(buffer)).toEqual([0, 40])
  expect(hasMore).toBe(false)
  await buffer.append(unitOf({ chunks: [numbered(40, 10)] }))
  await waiting
  expect((await readShipment(buffer, 'a', cursor)).events).toEqual(texts(5))
})

test('chunks that an output passes over are not kept for it, and make room for what comes', async () => {
  const big = (from: number, count: number): string[] => padded(from, count, 50_000)
  const dir = await folderWith(12, { a: [[2, 12]] }, big)
  const buffer = await openFor(dir, { maxSizeBytes: 8 * MIB })
  await openShares(buffer, OUTPUTS)
  await buffer.commit('b', '12', [])
  await expect(append(buffer)).rejects.toThrow('full')
  await buffer.commit('a', '1', [])
  await append(buffer)
  expect((await readShipment(buffer, 'a', '12')).events).toEqual(big(500, 60))

  async function append(to: EventBuffer): Promise<void> {
    await to.assertRoom()
    await to.append(unitOf({ chunks: [big(500, 60)] }))
  }
})

test('an output that was off has not missed what it passes over', async () => {
  const dir = await folderWith(6, { a: [[2, 4]] })
  const onlyB = OUTPUTS.slice(1)
  const buffer = await openFor(dir, { retentionMs: 0 })
  await openShares(buffer, onlyB)
  await buffer.commit('b', '5', [])
  await buffer.append(unitOf({ pulledAt: 1, chunks: [numbered(60, 10)] }))
  await buffer.close()
  const db = new Database(join(dir, 'buffer.db'))
  // As a step of removing does, which comes a second after a start.
  db.exec('DELETE FROM chunks WHERE chunk <= 5; UPDATE log SET removed_chunk = 5, removed_events = 50')
  db.close()
  const again = await openFor(dir)
  const shares = await openShares(again, OUTPUTS)
  expect([shares.get('a')?.cursor, shares.get('a')?.missedEvents]).toEqual(['5', 20])
})
