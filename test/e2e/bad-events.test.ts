import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { HOSTILE_KINDS, hostileEvent } from '../../src/simulator/events.ts'
import type { TapEvent } from '../../src/simulator/tap-store.ts'
import { makeWorld, MINUTE_MS } from './world.ts'

const until = Date.now() - 2 * MINUTE_MS

/** Bytes that are not UTF-8 arrive as U+FFFD; all other hostile events are dead letters. */
const DEAD = HOSTILE_KINDS.filter((kind) => kind !== 'not UTF-8')

describe('events that cannot be delivered', () => {
  test('are kept as dead letters with their reason, everything else of the window is delivered, and memory stays bounded', async () => {
    const world = await makeWorld({ traffic: { until } })
    const createdAt = Date.now() - 10 * MINUTE_MS
    for (const [index, kind] of DEAD.entries()) world.model.events.add(hostileEvent(kind, 'messagesBlocked', createdAt + index))
    const collector = world.start(['run'])
    const isGood = ({ content }: TapEvent) => typeof content !== 'string' || content.startsWith('{"GUID"') || content.includes('"twice"')
    await world.allArrive(until)
    await collector.until(() => collector.log.some((entry) => entry.service === 'messagesBlocked' && entry.msg === 'The data is up to date!'), 'messagesBlocked being up to date')
    const memory = collector.peakMemory(await readFile(`/proc/${collector.pid}/status`, 'utf8'))
    expect(memory).toBeGreaterThan(20 * 1024 * 1024)
    expect(memory).toBeLessThan(300 * 1024 * 1024)
    expect(world.compare(isGood)).toMatchObject({ missing: [], surplus: [] })
    const status = JSON.parse((await world.run(['status', '--json'])).stdout) as { buffer: { refused_by_the_source: number } }
    expect(status.buffer.refused_by_the_source).toBe(DEAD.length)
    expect(await collector.stop()).toMatchObject({ code: 0 })

    // Once is once: reading the same window again makes no more of them.
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    const again = JSON.parse((await world.run(['status', '--json'])).stdout) as typeof status
    expect(again.buffer.refused_by_the_source).toBe(DEAD.length)
    expect(world.compare(isGood)).toMatchObject({ missing: [], surplus: [] })
  })

  test('with bytes that are not UTF-8 are delivered with U+FFFD in their place', async () => {
    const world = await makeWorld({ perHour: 0 })
    world.model.events.add(hostileEvent('not UTF-8', 'clicksPermitted', Date.now() - 10 * MINUTE_MS))
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.arrivals.countOf('clicksPermitted {"id":"not utf-8","subject":"caf\ufffd \ufffd\ufffd"}')).toBe(1)
    expect(world.arrivals.total).toBe(1)
  })

  test('of just under the limits pass whole', async () => {
    const world = await makeWorld({ perHour: 0 })
    const createdAt = Date.now() - 10 * MINUTE_MS
    const large = `{"id":"large","filler":"${'x'.repeat(8 * 1024 * 1024 - 40)}"}`
    const deep = `{"id":"deep","d":${'['.repeat(60)}${']'.repeat(60)}}`
    world.add({ service: 'messagesBlocked', createdAt, content: large }, { service: 'messagesBlocked', createdAt, content: deep }, { service: 'messagesBlocked', createdAt, content: '{}' })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject({ missing: [], surplus: [], expected: 3 })
  })
})
