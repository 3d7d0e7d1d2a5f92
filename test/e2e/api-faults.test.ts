import { describe, expect, test } from 'vitest'
import type { TapFault } from '../../src/simulator/tap-faults.ts'
import { makeWorld, MINUTE_MS } from './world.ts'

const until = Date.now() - 2 * MINUTE_MS
const FULL = { missing: [], surplus: [] }
const FOUR = { times: 4 }
const PATHS = [
  ['clicksBlocked', '/v2/siem/clicks/blocked'],
  ['clicksPermitted', '/v2/siem/clicks/permitted'],
  ['messagesBlocked', '/v2/siem/messages/blocked'],
  ['messagesDelivered', '/v2/siem/messages/delivered'],
] as const

describe('an API that fails', () => {
  test.each<[string, RegExp, TapFault[]]>([
    ['answers a page of HTML with 200', /HTML page instead of JSON/, [{ kind: 'html', ...FOUR }]],
    ['answers 500, 502 and 503', /the API answers 50\d/, [500, 502, 503].map((status) => ({ kind: 'status', status, body: 'try later', times: 2 }))],
    ['sends more behind the end', /the answer is not what the API promises/, [{ kind: 'trailing', text: '{}', ...FOUR }]],
    ['resets connections', /the answer failed|cannot reach/, [{ kind: 'reset', afterBytes: 0, times: 2 }, { kind: 'reset', afterBytes: 0.6, ...FOUR }]],
    ['drips', /up to date/, [{ kind: 'drip', bytes: 20_000, everyMs: 10, ...FOUR }]],
  ])('that %s is asked again until all is there, and nothing comes twice', async (_, message, faults) => {
    const world = await makeWorld({ traffic: { until } })
    for (const fault of faults) world.model.faults.set(fault)
    const { code, stdout } = await world.run(['run', '--once'])
    expect(code).toBe(0)
    expect(stdout).toMatch(message)
    expect(world.model.faults.list()).toEqual([])
    expect(world.compare()).toMatchObject(FULL)
  })

  test.each<[string, RegExp, readonly [TapFault, TapFault, TapFault, TapFault]]>([
    ['is empty, without the array, or has a text or an object in its place', /the answer is not what the API promises/, [
      { kind: 'empty' },
      { kind: 'missing-array' },
      { kind: 'array', text: '"none"' },
      { kind: 'array', text: '{"id":1}' },
    ]],
    ['ends too early, short of its length, without its last chunk, without either, or in the middle of the JSON', /the answer (failed|is not)/, [
      { kind: 'truncate', afterBytes: 0.5, framing: 'length' },
      { kind: 'truncate', afterBytes: 0.7, framing: 'chunked' },
      { kind: 'truncate', afterBytes: 0.3, framing: 'close' },
      { kind: 'truncate', afterBytes: 0.9, framing: 'ended' },
    ]],
  ])('whose answer %s, another way to each service, is asked again until all is there, and nothing comes twice', async (_, message, faults) => {
    const world = await makeWorld({ traffic: { until } })
    for (const [index, fault] of faults.entries()) world.model.faults.set({ ...fault, path: PATHS[index]?.[1] ?? '', times: 2 })
    const collector = world.start(['run', '--once'])
    expect(await collector.end()).toMatchObject({ code: 0 })
    for (const [service] of PATHS) expect(collector.log.filter((entry) => entry.service === service && message.test(entry.msg)), service).not.toEqual([])
    expect(world.model.faults.list()).toEqual([])
    expect(world.compare()).toMatchObject(FULL)
  })

  test('takes null and an empty list for what they are: nothing', async () => {
    const world = await makeWorld({ traffic: { until } })
    world.model.faults.set({ kind: 'array', text: 'null', path: '/v2/siem/clicks/blocked' })
    world.model.faults.set({ kind: 'array', text: ' [ ] ', path: '/v2/siem/messages/blocked' })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare(({ service }) => service !== 'clicksBlocked' && service !== 'messagesBlocked')).toMatchObject(FULL)
  })

  test('throttles: the pool waits as long as it was told, with one probe, and nothing is lost', async () => {
    const world = await makeWorld({ traffic: { until } })
    world.model.faults.set({ kind: 'status', status: 429, retryAfter: 2, times: 3 })
    const { code, stdout } = await world.run(['run', '--once'])
    expect(code).toBe(0)
    expect(stdout).toContain('(429)')
    expect(world.compare()).toMatchObject(FULL)
    const refused = world.model.log.entries.filter(({ status }) => status === 429)
    expect(refused).toHaveLength(3)
    // Each pool has been left alone for what Retry-After said before its next request.
    for (const { pool, time } of refused) {
      const next = world.model.log.entries.find((entry) => entry.pool === pool && entry.time > time + 500)
      expect((next?.time ?? 0) - time).toBeGreaterThanOrEqual(1_900)
    }
  })

  test('that is gone for a while is waited for by a run, which stays', async () => {
    const world = await makeWorld({ traffic: { until } })
    world.tap.refuseConnections()
    const collector = world.start(['run'])
    await collector.logged('cannot reach')
    await world.tap.acceptConnections()
    await world.allArrive(until)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
  })

  test('that stalls in the middle of an answer holds up nobody else', async () => {
    const world = await makeWorld({ traffic: { until } })
    world.model.faults.set({ kind: 'stall', afterBytes: 0.5, path: '/v2/siem/messages/blocked' })
    const collector = world.start(['run'])
    const others = ['clicksBlocked', 'clicksPermitted', 'messagesDelivered']
    for (const service of others) await collector.until(() => collector.log.some((entry) => entry.service === service && entry.msg === 'The data is up to date!'), `${service} being up to date`)
    world.model.faults.clear()
    world.tap.disconnectAll()
    await world.allArrive(until)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
  })
})

describe('clocks', () => {
  test.each([
    ['five minutes ahead', 5 * MINUTE_MS],
    ['five minutes behind', -5 * MINUTE_MS],
    ['two hours ahead', 120 * MINUTE_MS],
    ['two hours behind', -120 * MINUTE_MS],
  ])('where the API is %s, seen from this machine, its own counts', async (_, clockSkewMs) => {
    const world = await makeWorld({ settings: { clockSkewMs }, backlogMinutes: 180 })
    const collector = world.start(['run'])
    const edge = Date.now() + clockSkewMs - 35_000
    await world.allArrive(edge)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
    // Behind the first answer, which tells the API's clock, none asks for what is still under way there.
    for (const { window, time, status } of world.model.log.entries.slice(4)) {
      expect(status).toBe(200)
      expect(window?.to).toBeLessThanOrEqual(time - 28_000)
    }
  })

  test.each([5, -5])('a Date header that is off by %i minutes loses nothing', async (minutes) => {
    const world = await makeWorld({ traffic: { until: until - 5 * MINUTE_MS }, settings: { dateSkewMs: minutes * MINUTE_MS } })
    const collector = world.start(['run'])
    await world.allArrive(until - 5 * MINUTE_MS)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
  })
})
