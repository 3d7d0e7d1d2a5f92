import { describe, expect, test } from 'vitest'
import { TAP_ARRAYS } from '../../src/simulator/tap-api.ts'
import { makeWorld, MINUTE_MS, writeTime } from './world.ts'

interface Status {
  services: { input: string; service: string; settled: string | null; lag_seconds: number | null; last_read: string | null; holes: unknown[]; gaps: unknown[] }[]
  pools: { input: string; pool: string; remaining: number | null; limit: number | null; used: number }[]
  outputs: { output: string; type: string; backlog_events: number | null; last_proof: string | null; dead_letters: number }[]
}

const until = Date.now() - 2 * MINUTE_MS

describe('status', () => {
  test('works before the first start, beside a running collector and after it, as table and as JSON', async () => {
    const world = await makeWorld({
      traffic: { until },
      configure: ({ inputs }) => Object.assign(inputs.proofpoint_tap ?? {}, { requests_limits: [{ period: '1d', number_of_requests: 5_000 }] }),
    })
    const before = await world.run(['status', '--json'])
    expect(before.code).toBe(0)
    const empty = JSON.parse(before.stdout) as Status
    expect(empty.services.map(({ service, settled }) => [service, settled])).toEqual(TAP_ARRAYS.map((service) => [service, null]))
    expect(empty.outputs).toMatchObject([{ output: 'devo_1', backlog_events: null, last_proof: null }])

    const collector = world.start(['run'])
    await world.allArrive(until)
    await collector.logged('The data is up to date!')
    const look = async (): Promise<Status> => {
      const beside = await world.run(['status', '--json'])
      expect({ code: beside.code, stderr: beside.stderr }).toEqual({ code: 0, stderr: '' })
      return JSON.parse(beside.stdout) as Status
    }
    let status = await look()
    // What has arrived is proven a moment later.
    while (status.outputs[0]?.last_proof === null || status.services.some(({ settled }) => settled === null)) status = await look()
    for (const { settled, lag_seconds, last_read, holes, gaps } of status.services) {
      expect(Date.parse(settled ?? '')).toBeGreaterThan(Date.now() - 5 * MINUTE_MS)
      expect(lag_seconds).toBeGreaterThan(60)
      expect(Date.now() - Date.parse(last_read ?? '')).toBeLessThan(10_000)
      expect([holes, gaps]).toEqual([[], []])
    }
    for (const { pool, limit, remaining, used } of status.pools) {
      expect({ limit, remaining }).toEqual({ limit: 5_000, remaining: 5_000 - used })
      expect(used).toBeGreaterThan(0)
      expect(used).toBeLessThanOrEqual(world.model.log.used(pool === 'siem' ? 'siem' : 'clicks_permitted', Date.now()))
    }
    expect(Date.now() - Date.parse(status.outputs[0]?.last_proof ?? '')).toBeLessThan(30_000)

    const table = await world.run(['status'])
    expect(table.code).toBe(0)
    for (const name of [...TAP_ARRAYS, 'siem', 'clicks_permitted', 'devo_1']) expect(table.stdout).toContain(name)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect((await world.run(['status', '--json'])).code).toBe(0)
  })

  test('counts the backlog of an output that is dead', async () => {
    const world = await makeWorld({ traffic: { until } })
    world.receiver.refuseConnections()
    const collector = world.start(['run', '--once', '--timeout', '600'])
    await collector.logged('All that is due is in the buffer')
    const { stdout } = await world.run(['status', '--json'])
    expect((JSON.parse(stdout) as Status).outputs).toMatchObject([{ backlog_events: world.compare().expected, last_proof: null }])
  })
})

describe('reset', () => {
  test('moves a service to another start, refuses while a collector runs and without --yes where nobody can be asked', async () => {
    const world = await makeWorld({ traffic: { until } })
    const collector = world.start(['run'])
    await world.allArrive(until)
    const to = world.startTime + 30 * MINUTE_MS
    const args = ['reset', '--service', 'clicksBlocked', '--to', writeTime(to)]

    const running = await world.run([...args, '--yes'])
    expect(running).toMatchObject({ code: 1, stdout: '' })
    expect(running.stderr).toContain('Nothing was changed')
    expect(running.stderr).toContain(`process ${collector.pid} `)
    await collector.stop()

    expect(await world.run(args)).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') as string })
    expect(await world.run(['reset', '--service', 'clickBlocked', '--to', writeTime(to), '--yes'])).toMatchObject({ code: 2, stderr: expect.stringContaining('clicksBlocked') as string })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })

    expect(await world.run([...args, '--yes'])).toMatchObject({ code: 0, stdout: expect.stringContaining(writeTime(to).slice(0, 19)) as string })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    const { missing, surplus } = world.compare()
    expect(missing).toEqual([])
    // The events of that service from then on have come a second time, and no others.
    const again = TAP_ARRAYS.flatMap((service) => eventsFrom(world.model.events, service, to, until))
    expect(surplus.every((text) => text.startsWith('clicksBlocked '))).toBe(true)
    expect(surplus).toHaveLength(again.filter((service) => service === 'clicksBlocked').length)
  })

  test('a changed start time in the configuration does the same, a removed one nothing', async () => {
    const world = await makeWorld({ traffic: { until } })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    await world.configure(({ inputs }) => {
      delete inputs.proofpoint_tap?.services.clicksBlocked?.start_time_in_utc_format
    })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
    await world.configure(({ inputs }) => {
      Object.assign(inputs.proofpoint_tap?.services.messagesBlocked ?? {}, { start_time_in_utc_format: writeTime(world.startTime + 30 * MINUTE_MS) })
    })
    const { code, stdout } = await world.run(['run', '--once'])
    expect(code).toBe(0)
    expect(stdout).toContain('start_time_in_utc_format has changed')
    const { missing, surplus } = world.compare()
    expect(missing).toEqual([])
    expect(surplus.length).toBeGreaterThan(30)
    expect(surplus.every((text) => text.startsWith('messagesBlocked '))).toBe(true)
  })
})

describe('a second collector on the same state folder', () => {
  test.each([[['run']], [['run', '--once']]])('leaves with 1 within 5 s and says who holds it: %j', async (args) => {
    const world = await makeWorld({ traffic: { until } })
    const first = world.start(['run'])
    await world.allArrive(until)
    const began = performance.now()
    const second = await world.run(args)
    expect(performance.now() - began).toBeLessThan(5_000)
    expect(second.code).toBe(1)
    expect(second.stdout).toContain(world.stateDir)
    expect(second.stdout).toContain(`process ${first.pid} `)
    expect(await first.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
  })

  test('can start as soon as the first was killed', async () => {
    const world = await makeWorld({ traffic: { until } })
    const first = world.start(['run'])
    await first.logged('Pull Started')
    first.kill('SIGKILL')
    await first.end()
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare().missing).toEqual([])
  })
})

function eventsFrom(events: Awaited<ReturnType<typeof makeWorld>>['model']['events'], service: (typeof TAP_ARRAYS)[number], from: number, to: number): string[] {
  const slots = events.select(service, from, to, Infinity)
  return Array.from({ length: slots.length }, (_, index) => slots.at(index)).filter((event) => event !== null).map((event) => event.service)
}
