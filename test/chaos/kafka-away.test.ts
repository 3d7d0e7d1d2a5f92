import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, rmdir, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import type { Collector } from '../e2e/collector.ts'
import { MINUTE_MS, readableUntil } from '../e2e/world.ts'
import { describeOwnBroker } from '../support/kafka.ts'
import { startBroker, type TestBroker } from '../support/kafka-broker.ts'
import { expectOnceEach, makeKafkaWorld } from './kafka-world.ts'

/** Longer than a session, so that whoever waits has lost all that it held. */
const OUTAGE_MS = 16_000
const DISK_MB = 128
/** What a full disk has left: too little for what comes, and enough for a part of it. */
const REST_BYTES = 100_000

describeOwnBroker('a broker that is away', () => {
  let broker: TestBroker
  /** A file system of the broker's own; null where none can be mounted here. */
  let disk: string | null = null
  beforeAll(async () => {
    disk = await mountDisk()
    if (disk !== null) vi.stubEnv('TMPDIR', disk)
    broker = await startBroker().finally(() => vi.unstubAllEnvs())
  })
  afterEach(async () => {
    broker.continue()
    if (broker.pid === null) await broker.start()
  })
  afterAll(async () => {
    await broker.dispose()
    if (disk === null) return
    spawnSync('umount', ['-l', disk])
    await rmdir(disk)
  })

  /** Its disk is full, of which it dies; where it has none of its own, it is killed. Resolves when it is gone. */
  async function die(): Promise<void> {
    if (disk === null) {
      console.warn('SKIPPED: a full disk of the broker, for a file system cannot be mounted here; it is killed')
    } else {
      const { bavail, bsize } = await statfs(disk)
      await writeFile(join(disk, 'ballast'), Buffer.alloc(bavail * bsize - REST_BYTES))
      const { pid } = broker
      await vi.waitFor(() => expect(isRunning(pid)).toBe(false), { timeout: 40_000, interval: 100 })
      await rm(join(disk, 'ballast'))
    }
    await broker.stop('SIGKILL')
  }

  test('for its disk is full is waited for: no request is wasted, memory stays, readyz and status say so, and all is caught up', { timeout: 120_000 }, async () => {
    const world = await makeKafkaWorld({ brokers: broker.brokers })
    const collector = world.start(['run'])
    await world.allArrive(readableUntil() - MINUTE_MS)
    await die()
    const asked = world.model.log.entries.length
    await collector.logged(/\] (?:Fetching waits|The inputs wait)/)
    const memory = memoryOf(collector)
    const status = world.run(['status'])
    await wait(OUTAGE_MS)
    // What was on its way, and one window that is read ahead.
    expect(world.model.log.entries.length - asked).toBeLessThanOrEqual(3 * 4)
    expect(memoryOf(collector) - memory).toBeLessThan(20e6)
    expect(await status).toMatchObject({ code: 3, stderr: expect.stringContaining('The state cannot be read') as unknown })
    const [code, body] = await readyz(collector)
    expect(code).toBe(503)
    expect(body).toMatchObject({ ready: false, role: 'active' })
    // The output waits with its shipment, or for its share, as the moment has it.
    expect(partsOf(body).map((part) => part.replace('devo_1/buffer', 'devo_1'))).toEqual(expect.arrayContaining(['devo_1', 'buffer']))
    await broker.start()
    const until = readableUntil()
    await world.allArrive(until, 70_000)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    await expectOnceEach(world, until)
  })

  test('takes connections and says nothing: a collector that starts says so, status gives up, and all goes on with the broker', { timeout: 120_000 }, async () => {
    const world = await makeKafkaWorld({ brokers: broker.brokers })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    broker.pause()
    const collector = world.start(['run'])
    const status = world.run(['status'])
    const [code, body] = await readyz(collector)
    expect(code).toBe(503)
    expect(body).toMatchObject({ ready: false, reasons: [{ part: 'buffer' }] })
    expect(await status).toMatchObject({ code: 3 })
    broker.continue()
    const until = readableUntil()
    await world.allArrive(until, 70_000)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    await expectOnceEach(world, until)
  })

  test('and no longer answers does not hold up the end of the process', async () => {
    const world = await makeKafkaWorld({ brokers: broker.brokers })
    const collector = world.start(['run'])
    await world.allArrive(readableUntil() - MINUTE_MS)
    broker.pause()
    world.add({ service: 'clicksBlocked', createdAt: Date.now() - MINUTE_MS, content: { id: 'never answered' } })
    const reads = collector.log.length
    await collector.until(() => collector.log.length > reads, 'the next look at the API')
    const since = performance.now()
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(performance.now() - since).toBeLessThan(10_000)
  })

  test('for as long as another broker needs to take over its groups costs no share, so that nothing is delivered twice', { timeout: 90_000 }, async () => {
    const world = await makeKafkaWorld({ brokers: broker.brokers })
    const collector = world.start(['run'])
    await world.allArrive(readableUntil() - MINUTE_MS)
    broker.pause()
    await wait(11_000)
    broker.continue()
    const until = readableUntil()
    await world.allArrive(until, 60_000)
    expect(collector.log.filter(({ msg }) => msg.includes('No longer a member'))).toEqual([])
    expect(await collector.stop()).toMatchObject({ code: 0 })
    await expectOnceEach(world, until)
    expect(world.compare().surplus).toEqual([])
  })
})

async function mountDisk(): Promise<string | null> {
  const folder = await mkdtemp(join(tmpdir(), 'tap-kafka-disk-'))
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB}m`, 'tmpfs', folder]).status === 0) return folder
  await rmdir(folder)
  return null
}

function isRunning(pid: number | null): boolean {
  try {
    return pid !== null && process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Resident, in bytes. */
function memoryOf({ pid }: Collector): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

interface Readyz {
  readonly reasons: readonly { readonly part: string }[]
}

async function readyz(collector: Collector): Promise<readonly [status: number, body: Readyz]> {
  const port = await collector.httpPort()
  const response = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(5_000) })
  return [response.status, (await response.json()) as Readyz] // readiness.ts writes it
}

function partsOf({ reasons }: Readyz): string[] {
  return reasons.map(({ part }) => part)
}
