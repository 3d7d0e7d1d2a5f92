import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeTapEvent } from '../../src/buffers/kafka/tap-event.ts'
import { createKafkaClient } from '../../src/kafka/client.ts'
import { PartitionReader } from '../../src/kafka/partition-reader.ts'
import { hasBroker, startBroker, type TestBroker } from '../support/kafka-broker.ts'
import type { Collector } from './collector.ts'
import { makeWorld, MINUTE_MS, readableUntil, type ConfigFile } from './world.ts'


describe.skipIf(!hasBroker() && process.env.CI === undefined)('with the Kafka buffer', () => {
  let broker: TestBroker
  beforeAll(async () => {
    broker = await startBroker()
  })
  afterAll(async () => {
    await broker.dispose()
  })

  function onKafka(prefix: string, partitions = 4): (config: ConfigFile) => void {
    return (config) => {
      config.buffer = { type: 'kafka', config: { brokers: broker.brokers, topic_prefix: prefix, partitions } }
    }
  }

  /** How often each event lies in the topic, as any reader with read_committed sees it, by fingerprint. */
  async function inTopic(prefix: string): Promise<Map<string, number>> {
    const reader = new PartitionReader(createKafkaClient({ brokers: broker.brokers, ssl: false, sasl: null }, pino({ level: 'silent' })), `${prefix}.events`)
    const counts = new Map<string, number>()
    try {
      const ends = await reader.offsets('latest')
      for (const [partition, end] of ends) {
        for (let next = 0; next < end; ) {
          const [page] = await reader.fetch(new Map([[partition, next]]), { maxBytes: 1_000_000, maxWaitMs: 500, minBytes: 1, signal: AbortSignal.timeout(20_000) })
          for (const { key, value } of page?.records ?? []) {
            expect(decodeTapEvent(value ?? Buffer.alloc(0)).event.length).toBeGreaterThan(1)
            counts.set(String(key), (counts.get(String(key)) ?? 0) + 1)
          }
          next = page?.nextOffset ?? end
        }
      }
    } finally {
      await reader.close()
    }
    return counts
  }

  function expectOnceEach(counts: ReadonlyMap<string, number>, events: number): void {
    expect([...counts.values()].filter((count) => count !== 1)).toEqual([])
    expect(counts.size).toBe(events)
  }

  test('run --once delivers all and leaves each event once in the topic; status and a second run find nothing left', async () => {
    const prefix = `e${randomUUID()}`
    const world = await makeWorld({ perHour: 400, configure: onKafka(prefix) })
    expect((await world.run(['status'])).stdout).toContain('not started')
    const { code, stdout } = await world.run(['run', '--once'])
    expect(code, stdout).toBe(0)
    const { expected, ...difference } = world.compare(({ createdAt }) => createdAt < readableUntil())
    expect(difference.missing).toEqual([])
    expect(expected).toBeGreaterThan(1000)
    expectOnceEach(await inTopic(prefix), world.arrivals.total)
    const status = await world.run(['status', '--json'])
    expect(JSON.parse(status.stdout)).toMatchObject({ outputs: [{ output: 'devo_1', backlog_events: 0, dead_letters: 0 }], buffer: { type: 'kafka' } })
    const before = world.arrivals.total
    expect((await world.run(['run', '--once'])).code).toBe(0)
    expectOnceEach(await inTopic(prefix), world.arrivals.total)
    expect(world.arrivals.total - before).toBeLessThan(200)
  })

  test('killed at any moment, the collector goes on and neither loses nor doubles in the topic', { timeout: 120_000 }, async () => {
    const prefix = `e${randomUUID()}`
    const liveUntil = Date.now() - 20_000
    const world = await makeWorld({ perHour: 2_000, traffic: { until: liveUntil }, configure: onKafka(prefix) })
    for (const wait of [900, 1_300, 1_700, 2_300, 3_100]) {
      const collector = world.start(['run'])
      await new Promise((resolve) => setTimeout(resolve, wait))
      collector.kill('SIGKILL')
      await collector.ended
    }
    const collector = world.start(['run'])
    await world.allArrive(liveUntil, 60_000)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare().missing).toEqual([])
    expectOnceEach(await inTopic(prefix), world.compare().expected)
  })

  test('of two collectors one reads and both deliver; a killed owner is replaced, a paused one steps down', { timeout: 120_000 }, async () => {
    const prefix = `e${randomUUID()}`
    const liveUntil = Date.now() + 25_000
    const world = await makeWorld({ perHour: 1_000, traffic: { until: liveUntil }, configure: onKafka(prefix) })
    const first = world.start(['run'])
    await world.allArrive(readableUntil() - MINUTE_MS)
    const second = world.start(['run'])
    await second.until(() => says(second, 'standing by'), 'the second standing by')
    await second.until(() => says(second, 'is reachable and accepts us'), 'the second reaching the output')
    const ready = await fetch(`http://127.0.0.1:${await second.httpPort()}/readyz`)
    expect([ready.status, await ready.json()]).toMatchObject([200, { role: 'standby' }])
    first.kill('SIGSTOP')
    await second.until(() => says(second, 'The data is up to date!'), 'the second taking over')
    first.kill('SIGCONT')
    await first.until(() => says(first, 'standing by'), 'the first stepping down')
    second.kill('SIGKILL')
    await second.ended
    await world.allArrive(liveUntil - 1_000, 90_000)
    expect(await first.stop()).toMatchObject({ code: 0 })
    expectOnceEach(await inTopic(prefix), (await inTopic(prefix)).size)
    expect(world.compare(({ createdAt }) => createdAt < liveUntil - 1_000).missing).toEqual([])
  })

  test('a broker that goes away is waited for, and all is caught up', { timeout: 120_000 }, async () => {
    const prefix = `e${randomUUID()}`
    const liveUntil = Date.now() + 5_000
    const world = await makeWorld({ perHour: 1_000, traffic: { until: liveUntil }, configure: onKafka(prefix) })
    const collector = world.start(['run'])
    await world.allArrive(readableUntil() - MINUTE_MS)
    await broker.stop('SIGKILL')
    await collector.until(() => collector.log.some(({ msg }) => msg.startsWith('Fetching waits') || msg.startsWith('The inputs wait')), 'the collector telling that it waits')
    const ready = await fetch(`http://127.0.0.1:${await collector.httpPort()}/readyz`)
    expect(ready.status).toBe(503)
    expect(await ready.json()).toMatchObject({ ready: false, reasons: expect.arrayContaining([expect.objectContaining({ reason: expect.any(String) as unknown })]) as unknown })
    await broker.start()
    await world.allArrive(liveUntil - 1_000, 90_000)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare(({ createdAt }) => createdAt < liveUntil - 1_000)).toMatchObject({ missing: [] })
  })

  test('a broker that no longer answers does not hold up the end of the process', async () => {
    const world = await makeWorld({ perHour: 600, configure: onKafka(`e${randomUUID()}`) })
    const collector = world.start(['run'])
    await world.allArrive(readableUntil() - MINUTE_MS)
    broker.pause()
    try {
      world.add({ service: 'clicksBlocked', createdAt: Date.now() - MINUTE_MS, content: { id: 'never answered' } })
      const reads = collector.log.length
      await collector.until(() => collector.log.length > reads, 'the next look at the API')
      const since = performance.now()
      expect(await collector.stop()).toMatchObject({ code: 0 })
      expect(performance.now() - since).toBeLessThan(10_000)
    } finally {
      broker.continue()
    }
  })

  test('a state topic that is gone is an error that says what to do, and no fresh start', async () => {
    const prefix = `e${randomUUID()}`
    const world = await makeWorld({ perHour: 60, configure: onKafka(prefix) })
    expect((await world.run(['run', '--once'])).code).toBe(0)
    const admin = createKafkaClient({ brokers: broker.brokers, ssl: false, sasl: null }, pino({ level: 'silent' })).admin()
    await admin.connect()
    await admin.deleteTopics({ topics: [`${prefix}.state`] })
    await admin.disconnect()
    const { code, stdout } = await world.run(['run', '--once'])
    expect(code).toBe(1)
    expect(stdout).toContain('the state is lost')
    const to = new Date().toISOString()
    const all = ['clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered']
    const reset = (services: readonly string[]) => world.run(['reset', ...services.flatMap((service) => ['--service', service]), '--to', to, '--yes'])
    const one = await reset(all.slice(0, 1))
    expect([one.code, one.stderr]).toEqual([1, expect.stringContaining('naming every service')])
    expect((await world.run(['run', '--once'])).code).toBe(1)
    expect((await reset(all)).code).toBe(0)
    const before = world.arrivals.total
    expect((await world.run(['run', '--once'])).code).toBe(0)
    // The groups still know what was delivered.
    expect(world.arrivals.total).toBe(before)
  })

  test('validate --connect reaches the buffer, and says so where it cannot', async () => {
    const prefix = `e${randomUUID()}`
    const world = await makeWorld({ perHour: 0, configure: onKafka(prefix) })
    const good = await world.run(['validate', '--connect'])
    expect(good.stdout).toContain('ok       buffer kafka')
    expect(good.code).toBe(0)
    await world.configure((config) => {
      config.buffer = { type: 'kafka', config: { brokers: ['127.0.0.1:1'], topic_prefix: prefix } }
    })
    const bad = await world.run(['validate', '--connect'])
    expect(bad.stdout).toContain('failed   buffer kafka')
    expect(bad.code).toBe(3)
  })
})

function says(collector: Collector, text: string): boolean {
  return collector.log.some(({ msg }) => msg.includes(text))
}

