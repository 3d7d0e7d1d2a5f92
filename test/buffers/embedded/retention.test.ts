import { statSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import type { EventBuffer } from '../../../src/pipeline/buffer.ts'
import { HOUR_MS, numbered, openShares, padded, readShipment, settle, unitOf } from '../../contract/buffer-units.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'
import { MIB, optionsFor, temporaryFolder } from './fixtures.ts'

const START = Date.UTC(2026, 10, 20)

async function opened(options: { retentionMs?: number; maxSizeBytes?: number } = {}) {
  const dir = temporaryFolder()
  const clock = new VirtualClock(START)
  const buffer = await openEmbeddedBuffer(optionsFor(dir, { clock, inThread: true, ...options }))
  onTestFinished(() => buffer.close())
  const tool = new Database(join(dir, 'buffer.db'), { readonly: true })
  onTestFinished(() => void tool.close())
  const chunks = () => tool.prepare<[], number>('SELECT count(*) FROM chunks').pluck().get()
  return { dir, clock, buffer, chunks }
}

async function deliverAll(buffer: EventBuffer, output = 'devo', from = '0'): Promise<string> {
  const { cursor } = await readShipment(buffer, output, from)
  await buffer.commit(output, cursor, [])
  return cursor
}

describe('retention', () => {
  test('delivered events stay for it, and then go', async () => {
    const { clock, buffer, chunks } = await opened()
    await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
    await buffer.append(unitOf({ chunks: [numbered(0, 3)], pulledAt: clock.now() }))
    await clock.advance(2 * HOUR_MS)
    await buffer.append(unitOf({ chunks: [numbered(3, 3)], pulledAt: clock.now() }))
    const cursor = await deliverAll(buffer)
    await clock.advance(21.9 * HOUR_MS)
    expect(chunks()).toBe(2)
    await clock.advance(0.3 * HOUR_MS)
    expect(chunks()).toBe(1)
    await clock.advance(2 * HOUR_MS)
    expect(chunks()).toBe(0)
    expect((await buffer.snapshot()).outputs).toMatchObject([{ backlogEvents: 0 }])
    await buffer.append(unitOf({ chunks: [numbered(6, 3)], pulledAt: clock.now() }))
    expect((await readShipment(buffer, 'devo', cursor)).events).toEqual(numbered(6, 3))
  })

  test('undelivered events stay, however old; one open output is enough to hold them, a closed one is not', async () => {
    const { clock, buffer, chunks } = await opened()
    await openShares(buffer, [{ name: 'a', startFrom: 'now' }, { name: 'b', startFrom: 'now' }])
    for (let n = 0; n < 5; n += 1) await buffer.append(unitOf({ chunks: [numbered(n * 10, 10)], pulledAt: clock.now() }))
    const half = await readShipment(buffer, 'b', '0', { maxEvents: 20 })
    await deliverAll(buffer, 'a')
    await buffer.commit('b', half.cursor, [])
    await clock.advance(100 * HOUR_MS)
    expect(chunks()).toBe(3)
    expect((await readShipment(buffer, 'b', half.cursor)).events).toEqual(numbered(20, 30))
    await openShares(buffer, [{ name: 'a', startFrom: 'now' }])
    await clock.advance(HOUR_MS)
    expect(chunks()).toBe(0)
    const again = await openShares(buffer, [{ name: 'b', startFrom: 'now' }])
    expect(again.get('b')?.missedEvents).toBe(30)
    expect((await readShipment(buffer, 'b', again.get('b')?.cursor ?? '')).eventsRead).toBe(0)
    const told = await openShares(buffer, [{ name: 'b', startFrom: 'now' }])
    expect(told.get('b')?.missedEvents).toBe(0)
    const missedOf = async () => (await buffer.snapshot()).outputs.map(({ name, missedEvents }) => [name, missedEvents])
    expect(await missedOf()).toEqual([['a', 0], ['b', 30]])
    await openShares(buffer, [{ name: 'a', startFrom: 'now' }])
    await buffer.append(unitOf({ chunks: [numbered(50, 5)], pulledAt: clock.now() }))
    await deliverAll(buffer, 'a', half.cursor)
    await clock.advance(100 * HOUR_MS)
    // Opened twice before it takes its share, as where the first opening seemed to fail: told all the same.
    await buffer.openOutputs([{ name: 'b', startFrom: 'now' }])
    const later = await openShares(buffer, [{ name: 'b', startFrom: 'now' }])
    expect(later.get('b')?.missedEvents).toBe(5)
    expect(await missedOf()).toEqual([['a', 0], ['b', 35]])
  })

  test('before any output was opened everything stays', async () => {
    const { clock, buffer, chunks } = await opened()
    await buffer.append(unitOf({ chunks: [numbered(0, 3)], pulledAt: clock.now() }))
    await clock.advance(100 * HOUR_MS)
    expect(chunks()).toBe(1)
  })

  test('an output whose events are all gone waits for new ones instead of spinning', async () => {
    const { clock, buffer } = await opened()
    await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
    await buffer.append(unitOf({ chunks: [numbered(0, 3)], pulledAt: clock.now() }))
    await deliverAll(buffer)
    await clock.advance(48 * HOUR_MS)
    let woken = false
    const waiting = buffer.waitBeyond('devo', '0', new AbortController().signal).then(() => (woken = true))
    await settle()
    expect(woken).toBe(false)
    await buffer.append(unitOf({ chunks: [numbered(3, 3)], pulledAt: clock.now() }))
    await waiting
  })

  test('a pull stamped by a clock that was far ahead does not keep all that follows', async () => {
    const { clock, buffer, chunks } = await opened()
    await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
    await buffer.append(unitOf({ chunks: [numbered(0, 3)], pulledAt: clock.now() + 10_000 * HOUR_MS }))
    await buffer.append(unitOf({ chunks: [numbered(3, 3)], pulledAt: clock.now() }))
    await deliverAll(buffer)
    await clock.advance(25 * HOUR_MS)
    expect(chunks()).toBe(0)
  })

  test('goes in small steps, and its timer ends with the buffer', async () => {
    const { clock, buffer, chunks } = await opened()
    await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
    for (let n = 0; n < 12; n += 1) {
      await buffer.append(unitOf({ chunks: Array.from({ length: 18 }, () => padded(0, 100, 2200)), pulledAt: START - 48 * HOUR_MS }))
    }
    await deliverAll(buffer)
    const steps: (number | undefined)[] = []
    while (chunks() !== 0) {
      await clock.run(clock.sleep(5))
      if (steps.at(-1) !== chunks()) steps.push(chunks())
    }
    expect(steps.length).toBeGreaterThan(3)
    for (const [index, left] of steps.entries()) expect((steps[index - 1] ?? left ?? 0) - (left ?? 0)).toBeLessThan(85)
    await buffer.close()
    expect(clock.pendingTimers).toBe(0)
  })

  test('free pages are used again and do not count; the log is emptied in quiet times', async () => {
    const { dir, clock, buffer } = await opened()
    await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
    const round = async () => {
      for (let n = 0; n < 4; n += 1) await buffer.append(unitOf({ chunks: Array.from({ length: 18 }, () => padded(0, 100, 2200)), pulledAt: clock.now() }))
      await deliverAll(buffer)
      await clock.advance(25 * HOUR_MS)
    }
    await round()
    const file = statSync(join(dir, 'buffer.db')).size
    expect(file).toBeGreaterThan(12 * MIB)
    expect((await buffer.snapshot()).sizeInBytes).toBeLessThan(MIB)
    expect(statSync(join(dir, 'buffer.db-wal')).size).toBe(0)
    await round()
    expect(statSync(join(dir, 'buffer.db')).size).toBeLessThan(file + MIB)
  })
})
