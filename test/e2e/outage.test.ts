import { spawnSync } from 'node:child_process'
import { mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { makeWorld, MINUTE_MS, type World } from './world.ts'

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
