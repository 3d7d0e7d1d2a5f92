import { spawnSync } from 'node:child_process'
import { mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openEmbeddedBuffer } from '../../src/buffers/embedded/embedded.ts'
import { systemClock } from '../../src/pipeline/clock.ts'
import { TAP_ARRAYS } from '../../src/simulator/tap-api.ts'
import { parseExposition, valueOf } from '../support/exposition.ts'
import { HOUR_MS, makeWorld, MINUTE_MS, writeTime, type World } from './world.ts'

const FULL = { missing: [], surplus: [] }

describe('a receiver that is dead for long', () => {
  test('does not stop fetching; everything arrives when it is back, a restart in between or not', async () => {
    const until = Date.now() - 24_000
    const world = await makeWorld({ traffic: { until } })
    world.receiver.refuseConnections()
    const first = world.start(['run'])
    // The API goes on while nothing can be delivered.
    const readTo = (time: number) => world.model.log.entries.some(({ path, window, status }) => path === '/v2/siem/clicks/blocked' && status === 200 && (window?.to ?? 0) > time)
    await world.tap.until(() => readTo(until - 4_000))
    expect(await first.stop()).toMatchObject({ code: 0 })
    const second = world.start(['run'])
    await world.tap.until(() => readTo(until))
    await second.logged('ECONNREFUSED')
    expect(world.arrivals.total).toBe(0)
    await world.receiver.acceptConnections()
    await world.allArrive(until)
    await second.logged('is reachable and accepts us')
    expect(await second.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
  })
})

describe('a collector that was off for more than seven days', () => {
  test.each([45, -45])('tells the gap in its log, in status, in a metric and to Devo, and goes on inside of what the API still has; the API’s clock is off by %i minutes', async (minutes) => {
    const own: string[] = []
    const start = Math.floor((Date.now() - 9 * 24 * HOUR_MS) / 1_000) * 1_000
    const world = await makeWorld({
      perHour: 0,
      settings: { clockSkewMs: minutes * MINUTE_MS },
      onOwnLog: (line) => own.push(line),
      configure: ({ globals, inputs }) => {
        globals.internal_events = true
        const { services = {} } = inputs.proofpoint_tap ?? {}
        for (const service of Object.values(services)) service.start_time_in_utc_format = writeTime(start)
      },
    })
    await leaveState(world, start)
    const horizon = Date.now() + minutes * MINUTE_MS - 7 * 24 * HOUR_MS
    world.add(...TAP_ARRAYS.map((service) => ({ service, createdAt: horizon + (10 + Math.abs(minutes) + 2) * MINUTE_MS, content: { id: `${service} behind the gap` } })))
    const collector = world.start(['run'])
    for (const service of TAP_ARRAYS) await collector.until(() => collector.log.some((entry) => entry.service === service && entry.msg === 'The data is up to date!'), `${service} being up to date`)
    await world.receiver.until(() => world.arrivals.total === 4 && own.filter((line) => line.includes('A gap')).length >= 4)
    expect(world.compare()).toMatchObject(FULL)

    const told = collector.log.filter(({ msg }) => msg.includes('A gap: the events from'))
    expect(told.length).toBeGreaterThanOrEqual(4)
    for (const service of TAP_ARRAYS) expect(told.find((entry) => entry.service === service)).toMatchObject({ level: 'error', msg: expect.stringContaining(`from ${writeTime(start)} to `) as string })
    const { services } = JSON.parse((await world.run(['status', '--json'])).stdout) as { services: { service: string; gaps: { from: string; to: string }[] }[] } // report.ts writes it
    for (const { service, gaps } of services) {
      const [first, last] = [gaps[0], gaps.at(-1)]
      expect([service, Date.parse(first?.from ?? '')]).toEqual([service, start])
      // At most what the two clocks differ by, and ten minutes, of what the API still has.
      expect(Date.parse(last?.to ?? '')).toBeGreaterThanOrEqual(horizon)
      expect(Date.parse(last?.to ?? '')).toBeLessThanOrEqual(horizon + 12 * MINUTE_MS)
    }
    expect((await world.run(['status'])).stdout).toContain('gap in proofpoint_tap/clicksBlocked: ')
    const metrics = parseExposition(await (await fetch(`http://127.0.0.1:${await collector.httpPort()}/metrics`)).text())
    for (const service of TAP_ARRAYS) expect(valueOf(metrics, 'tap_collector_gap_seconds_total', { service })).toBeGreaterThanOrEqual((horizon - start) / 1_000)
    expect(own.find((line) => line.includes('A gap'))).toMatch(/ devo\.collectors\.out\.local\.error: .*A gap: the events from/)
    expect(await collector.stop()).toMatchObject({ code: 0 })
  })
})

/** As a collector leaves it that has read up to `settled`. */
async function leaveState({ stateDir }: World, settled: number): Promise<void> {
  const buffer = await openEmbeddedBuffer({ dir: stateDir, retentionMs: HOUR_MS, maxSizeBytes: 2 ** 28, clock: systemClock, log: pino({ level: 'silent' }), inThread: true })
  for (const service of TAP_ARRAYS) await buffer.startService('12345', service, settled, settled)
  await buffer.close()
}

/** A file system of its own for the state folder, of so many megabytes. False where it cannot be mounted here. */
function mountState(world: World, megabytes: number): boolean {
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', world.stateDir]).status === 0
  if (mounted) onTestFinished(() => void spawnSync('umount', ['-l', world.stateDir]))
  return mounted
}

describe('a state folder', () => {
  test('that is full makes fetching wait with a clear error; with room again it goes on by itself and nothing is lost', async ({ skip }) => {
    const until = Date.now() - 2 * MINUTE_MS
    const world = await makeWorld({ perHour: 3_000, traffic: { until }, configure: ({ outputs }) => Object.assign(outputs.devo_1 ?? {}, { max_shipment_events: 500 }) })
    if (!mountState(world, 24)) skip('SKIPPED: a file system cannot be mounted here, which a full disk needs')
    const ballast = join(world.stateDir, 'ballast')
    const { bavail, bsize } = await statfs(world.stateDir)
    await writeFile(ballast, Buffer.alloc(bavail * bsize - 3 * 1024 * 1024))
    const collector = world.start(['run'])
    const waiting = await collector.logged(/Fetching waits.*full/)
    expect(waiting).toMatchObject({ level: 'error' })
    const port = await collector.httpPort()
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`)
    expect(ready.status).toBe(503)
    expect(await ready.text()).toContain('full')
    await rm(ballast)
    await world.allArrive(until)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare().missing).toEqual([])
  })

  test('that is full at the start is waited for by a run, and ends a run --once with 1', async ({ skip }) => {
    const until = Date.now() - 2 * MINUTE_MS
    const world = await makeWorld({ traffic: { until } })
    if (!mountState(world, 24)) skip('SKIPPED: a file system cannot be mounted here, which a full disk needs')
    const ballast = join(world.stateDir, 'ballast')
    const { bavail, bsize } = await statfs(world.stateDir)
    await writeFile(ballast, Buffer.alloc(bavail * bsize))
    const once = await world.run(['run', '--once', '--timeout', '5'])
    expect(once.code).toBe(1)
    expect(once.stdout).toContain('full')
    const collector = world.start(['run'])
    await collector.logged('full')
    await rm(ballast)
    await world.allArrive(until)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
  })

  test('that becomes read-only makes fetching wait; writable again it goes on by itself and nothing is lost', async ({ skip }) => {
    const until = Date.now() - 15_000
    const world = await makeWorld({ traffic: { until } })
    if (!mountState(world, 200)) skip('SKIPPED: a file system cannot be mounted here, which a read-only one needs')
    const remount = (mode: string) => spawnSync('mount', ['-o', `remount,${mode}`, world.stateDir])
    // A file that is open for writing keeps a file system from becoming read-only: so it is read-only from the start.
    expect(remount('ro').status).toBe(0)
    const once = await world.run(['run', '--once', '--timeout', '5'])
    expect(once.code).toBe(1)
    expect(once.stdout).toMatch(/read-only/)
    const collector = world.start(['run'])
    await collector.logged('read-only')
    const port = await collector.httpPort()
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(503)
    expect(remount('rw').status).toBe(0)
    await world.allArrive(until)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
  })

  test('of max_size_in_mb makes fetching wait while the receiver is dead, and holds the bound', async () => {
    const until = Date.now() - 2 * MINUTE_MS
    const world = await makeWorld({
      perHour: 6_000,
      traffic: { until },
      configure: (config) => {
        config.buffer = { type: 'embedded', config: { max_size_in_mb: 12 } }
      },
    })
    world.receiver.refuseConnections()
    const collector = world.start(['run'])
    await collector.logged(/Fetching waits.*max_size_in_mb|Fetching waits.*full/)
    const sizes = await Promise.all((await readdir(world.stateDir)).map(async (name) => (await readFile(join(world.stateDir, name))).length))
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(20 * 1024 * 1024)
    await world.receiver.acceptConnections()
    await world.allArrive(until)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
  })

  test('that does not exist yet is made, with the folders above it', async () => {
    const world = await makeWorld({ configure: ({ globals }) => Object.assign(globals.persistence.config, { directory_name: 'deeper/down/state' }) })
    await mkdir(join(world.dir, 'deeper'))
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(await readdir(join(world.dir, 'deeper', 'down', 'state'))).toContain('buffer.db')
    expect(world.compare()).toMatchObject(FULL)
  })
})
