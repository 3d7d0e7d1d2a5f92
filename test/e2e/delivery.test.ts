import { hostname } from 'node:os'
import { describe, expect, test } from 'vitest'
import { behaviours } from '../../src/simulator/devo-behaviours.ts'
import { TAP_ARRAYS } from '../../src/simulator/tap-api.ts'
import { parseLine } from './arrivals.ts'
import { makeWorld, MINUTE_MS, readableUntil } from './world.ts'

const FULL = { missing: [], surplus: [] }

describe('a run', () => {
  test('delivers the backlog and live events of four services byte for byte, and a restart doubles none', async () => {
    const liveUntil = Date.now() - 15_000
    // Late by more than the 30 s that a window keeps from now, and by less than the test waits.
    const world = await makeWorld({ traffic: { until: liveUntil, late: 0.1, lateByMs: 35_000 } })
    const collector = world.start(['run'])
    await world.allArrive(readableUntil() - MINUTE_MS)
    const backlog = world.arrivals.total
    world.add({ service: 'clicksBlocked', createdAt: liveUntil - 1_000, content: { id: 'live in any case' } })
    await world.allArrive(liveUntil)
    expect(world.arrivals.total).toBeGreaterThan(backlog)
    expect(await collector.stop()).toMatchObject({ code: 0, signal: null })
    expect(world.compare()).toMatchObject(FULL)
    const before = world.arrivals.total

    const again = world.start(['run'])
    for (const service of TAP_ARRAYS) await again.until(() => again.log.some((entry) => entry.service === service && entry.msg === 'The data is up to date!'), 'the second run reading all')
    const late = { service: 'clicksBlocked', createdAt: Date.now() - MINUTE_MS, content: { id: 'after the restart' } } as const
    world.add(late)
    await world.allArrive(liveUntil)
    expect(await again.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
    expect(world.arrivals.total).toBe(before + 1)
  })

  test('writes each line in the one form that Devo takes', async () => {
    const world = await makeWorld({
      perHour: 300,
      configure: ({ inputs }) => {
        Object.assign(inputs.proofpoint_tap ?? {}, { environment: 'pröd' })
      },
    })
    const { stdout, code } = await world.run(['run', '--once'])
    expect(code).toBe(0)
    const pulls = new Map<string, Set<number>>()
    let own = 0
    for (const line of world.lines) {
      const { time, host, service, json, pullingId } = parseLine(line)
      expect(host).toBe(hostname())
      const parsed = JSON.parse(json) as Record<string, unknown>
      const bringsId = parsed['@devo_pulling_id'] === '1'
      const bringsEnvironment = parsed['@devo_environment'] === 'theirs'
      own += Number(bringsId || bringsEnvironment)
      expect(pullingId).toBe(bringsId ? null : time)
      const added = `${bringsId ? '' : `,"@devo_pulling_id":"${time}"`}${bringsEnvironment ? '' : ',"@devo_environment":"pröd"'}}`
      expect(json.slice(-added.length)).toBe(added)
      pulls.set(service, (pulls.get(service) ?? new Set()).add(time))
    }
    expect(own).toBeGreaterThan(0)
    // One pass is one pull, however many windows and responses it takes.
    for (const service of TAP_ARRAYS) {
      const ids = [...stdout.matchAll(/@devo_pulling_id=(\d+)/g)].map(([, id]) => Number(id))
      expect(ids).toEqual(expect.arrayContaining([...(pulls.get(service) ?? [])]))
      expect(pulls.get(service)?.size).toBe(1)
    }
  })

  test('sends events as they were written, whatever order the API chooses for their lists', async () => {
    const world = await makeWorld({ settings: { shuffle: true, shuffleEnvelope: true, contentType: 'mixed' } })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    const { missing, surplus, expected } = world.compare()
    expect(expected).toBe(world.arrivals.total)
    // The order inside two lists differs from one request to the next; the same bytes must be there all the same.
    const sorted = (texts: readonly string[]) => texts.map((text) => Buffer.from(text).sort().toString('latin1')).sort()
    expect(sorted(surplus)).toEqual(sorted(missing))
    expect(surplus.length).toBeGreaterThan(10)
  })

  test('keeps lines of old collectors in its log, one JSON object a line on standard output', async () => {
    const world = await makeWorld()
    const collector = world.start(['run'])
    await collector.logged(/^Data collection completed\. Elapsed time: \d+\.\d{3} seconds\. Waiting for \d+\.\d{3} second\(s\) until the next one$/)
    await collector.logged('Pull Started')
    await collector.logged('The data is up to date!')
    const { msg } = await collector.logged(
      /^Statistics for this pull cycle \(@devo_pulling_id=\d{13}\): Number of requests made: \d+; Number of events received: \d+; Number of duplicated events filtered out: \d+; Number of events generated and sent: \d+; Average of events per second: \d+\.\d+\.$/,
    )
    const { stdout, stderr } = await collector.stop()
    expect(stderr).toBe('')
    for (const line of stdout.trimEnd().split('\n')) {
      const entry: unknown = JSON.parse(line)
      expect(entry).toMatchObject({ level: expect.stringMatching(/^(info|warn|error)$/) as string, time: expect.stringMatching(/^\d{4}-.*Z$/) as string, msg: expect.any(String) as string })
    }
    expect(msg).toContain(`Number of events received: ${/received: (\d+)/.exec(msg)?.[1] ?? ''};`)
  })
})

describe('run --once', () => {
  test('delivers what is due and leaves with 0; again, it delivers nothing twice of what the look-back shows once more', async () => {
    const world = await makeWorld({ perHour: 600, traffic: { until: readableUntil() } })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0, stderr: '' })
    const first = world.compare()
    expect(first).toMatchObject(FULL)
    expect(first.expected).toBeGreaterThan(2_000)
    const requests = world.model.log.entries.length
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.model.log.entries.slice(requests).reduce((sum, { events }) => sum + events, 0)).toBeGreaterThan(20)
    expect(world.compare()).toMatchObject({ ...FULL, expected: first.expected })
  })

  test('leaves with 1 and a clear line where login is refused, without burning the quota', async () => {
    const world = await makeWorld({
      configure: ({ inputs }) => {
        const input = inputs.proofpoint_tap
        if (input !== undefined) input.credentials.password = 'another-password'
      },
    })
    const { code, stdout, stderr } = await world.run(['run', '--once'])
    expect(code).toBe(1)
    expect(stderr).toBe('')
    expect(stdout).toMatch(/"msg":"ApiLoginRefused \[CODE:0401\] [^"]*login refused \(401\): check inputs\.proofpoint_tap\.credentials/)
    expect(stdout).not.toContain('another-password')
    expect(world.model.log.entries.length).toBeLessThanOrEqual(4)
  })

  test('leaves with 1 in time where an output is dead; nothing is lost, and the next run delivers', async () => {
    const world = await makeWorld({ traffic: { until: Date.now() - 2 * MINUTE_MS } })
    world.receiver.refuseConnections()
    const began = performance.now()
    const { code, stdout } = await world.run(['run', '--once', '--timeout', '3'])
    expect(code).toBe(1)
    expect(performance.now() - began).toBeLessThan(12_000)
    expect(stdout).toContain('ECONNREFUSED')
    expect(stdout).toContain('nothing is lost, the next run goes on from here')
    expect(world.arrivals.total).toBe(0)
    await world.receiver.acceptConnections()
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
  })

  test('counts an event as delivered only once it is proven', async () => {
    const world = await makeWorld({ traffic: { until: Date.now() - 2 * MINUTE_MS } })
    // All of them look like a success: read into memory and killed, ended without being read, a terminator whose backend is gone.
    world.receiver.nextWithData(
      behaviours.killed(), behaviours.endEarly({ afterMs: 100 }, { reads: 'discard' }), behaviours.deadBackend(100, 'discard'), behaviours.killed(),
    )
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.receiver.discardedEvents).toBeGreaterThan(0)
    expect(world.compare()).toMatchObject(FULL)
  })
})
