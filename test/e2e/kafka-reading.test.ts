import { randomUUID } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import { standBeside, type Beside } from '../buffers/kafka/beside.ts'
import { startProxy } from '../kafka/kafka-proxy.ts'
import { behaviours } from '../../src/simulator/devo-behaviours.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { TAP_ARRAYS } from '../../src/simulator/tap-api.ts'
import { Arrivals, parseLine, shownEvents, textOf } from './arrivals.ts'
import type { Collector } from './collector.ts'
import { makeWorld, MINUTE_MS, type World, type WorldOptions } from './world.ts'

interface KafkaWorld extends World {
  readonly beside: Beside
}

const PARTITIONS = 8
/** Small enough that a few thousand events are many shipments. */
const SHIPMENT_EVENTS = 50
const IN_FLIGHT = 4

describeKafka('a collector that reads from Kafka', () => {
  let brokers: readonly string[]
  beforeAll(async () => {
    brokers = await sharedBroker()
  })

  /** All of its traffic lies before the test began. */
  async function makeKafkaWorld({ configure, from = brokers, ...options }: WorldOptions & { readonly from?: readonly string[] } = {}): Promise<KafkaWorld> {
    const prefix = `r${randomUUID()}`
    const world = await makeWorld({
      perHour: 1_000,
      backlogMinutes: 15,
      traffic: { until: Date.now() - 2 * MINUTE_MS },
      ...options,
      configure: (config) => {
        // Tells the shares.
        config.globals.debug = true
        config.buffer = { type: 'kafka', config: { brokers: from, topic_prefix: prefix, partitions: PARTITIONS } }
        // A slow receiver is no failed one.
        Object.assign(config.outputs.devo_1?.config ?? {}, { drain_timeout_in_seconds: 30 })
        Object.assign(config.outputs.devo_1 ?? {}, { max_shipment_events: SHIPMENT_EVENTS, shipments_in_flight: IN_FLIGHT })
        configure?.(config)
      },
    })
    return { ...world, beside: standBeside(brokers, prefix) }
  }

  /** One more process on the world's API and topics, with a receiver of its own: what arrives there is what this process has delivered. */
  async function makePeer(world: KafkaWorld): Promise<World> {
    const peer = await makeWorld({ perHour: 0 })
    let original: object = {}
    await world.configure((config) => void (original = structuredClone(config)))
    await peer.configure((config) => {
      Object.assign(config, original)
      Object.assign(config.outputs.devo_1?.config ?? {}, { port: peer.receiver.port })
    })
    return peer
  }

  test('keeps what is no event as a dead letter, once, and goes on', async () => {
    const world = await makeKafkaWorld()
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    await world.beside.produce([Buffer.from('no event'), null].map((value) => ({ partition: 3, key: null, value })))
    for (let time = 0; time < 2; time += 1) {
      world.add({ service: 'clicksBlocked', createdAt: Date.now() - MINUTE_MS, content: { id: `after it, ${time}` } })
      expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
      expect(await statusOf(world)).toMatchObject([{ backlog_events: 0, dead_letters: 2 }])
    }
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
  })

  test('tells a gap where retention has passed an output that could not deliver, and goes on behind it', async () => {
    const world = await makeKafkaWorld()
    world.receiver.refuseConnections()
    const collector = world.start(['run'])
    await collector.logged('is not reachable')
    await upToDate(collector)
    const ends = await world.beside.ends()
    const total = world.compare().expected
    await world.beside.deleteBefore(new Map([...ends].map(([partition, end]) => [partition, Math.floor(end / 2)])))
    await world.receiver.acceptConnections()
    const { missedEvents } = await collector.logged('are gone from the buffer')
    await world.receiver.until(() => world.arrivals.total + Number(missedEvents) >= total)
    await collector.until(() => world.arrivals.total > 0, 'anything arriving')
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(Number(missedEvents)).toBe([...ends.values()].reduce((sum, end) => sum + Math.floor(end / 2), 0))
    expect(world.compare().surplus).toEqual([])
    expect(await statusOf(world)).toMatchObject([{ output: 'devo_1', missed_events: missedEvents }])
  })

  test('says what to do where the broker has forgotten an output, delivers to the others, and goes on where a person says', async () => {
    const other = await makeWorld({ perHour: 0 })
    const world = await makeKafkaWorld({
      perHour: 200,
      configure: ({ outputs }) => {
        outputs.devo_2 = structuredClone(outputs.devo_1 ?? { type: '', config: {} })
        outputs.devo_2.config.port = other.receiver.port
      },
    })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    const before = other.arrivals.total
    expect(before).toBe(world.arrivals.total)
    await world.beside.forget('devo_2')
    const collector = world.start(['run'])
    expect(await collector.logged('has forgotten how far output devo_2 was')).toMatchObject({ level: 'error', output: 'devo_2' })
    world.add({ service: 'clicksBlocked', createdAt: Date.now() - MINUTE_MS, content: { id: 'while devo_2 waits' } })
    await world.receiver.until(() => world.arrivals.total > before)
    const ready = await fetch(`http://127.0.0.1:${await collector.httpPort()}/readyz`)
    expect([ready.status, await ready.json()]).toMatchObject([503, { reasons: [{ part: 'devo_2/buffer' }] }])
    const ends = await world.beside.ends()
    await world.beside.resetOffsets('devo_2', new Map([...ends.keys()].map((partition) => [partition, { offset: 0, metadata: '' }])))
    await other.receiver.until(() => other.arrivals.total >= 2 * before + 1)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(other.arrivals.total).toBe(2 * before + 1)
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
  })

  test('delivers nothing twice when a process comes and goes while shipments are in flight, to a slow receiver too', { timeout: 90_000 }, async () => {
    const world = await makeKafkaWorld({ backlogMinutes: 30 })
    // Some seconds for all of it.
    world.receiver.behaviour = behaviours.slow(40_000)
    const first = world.start(['run'])
    await world.receiver.until(() => world.arrivals.total > 2 * SHIPMENT_EVENTS)
    const second = world.start(['run'])
    await delivering(second, world)
    expect(await second.stop()).toMatchObject({ code: 0 })
    const third = world.start(['run'])
    await delivering(third, world)
    const atSwitch = world.arrivals.total
    expect(await first.stop()).toMatchObject({ code: 0 })
    world.receiver.behaviour = behaviours.healthy()
    await world.allArrive(Date.now(), 60_000)
    expect(await third.stop()).toMatchObject({ code: 0 })
    const { expected, missing, surplus } = world.compare()
    expect([missing.length, surplus.length]).toEqual([0, 0])
    expect(atSwitch).toBeLessThan(expected)
  })

  test('is replaced when it is killed: what comes again is at most what it had in flight', { timeout: 90_000 }, async () => {
    // Heartbeats come every 3 s.
    const proxy = await startProxy(brokers[0] ?? '', { sessionTimeoutMs: 7_000 })
    const world = await makeKafkaWorld({ from: proxy.brokers })
    world.receiver.behaviour = behaviours.slow(40_000)
    const first = world.start(['run'])
    await world.receiver.until(() => world.arrivals.total > 2 * SHIPMENT_EVENTS)
    const second = world.start(['run'])
    await delivering(second, world)
    first.kill('SIGKILL')
    await first.ended
    world.receiver.behaviour = behaviours.healthy()
    await world.allArrive(Date.now(), 60_000)
    expect(await second.stop()).toMatchObject({ code: 0 })
    const { missing, surplus } = world.compare()
    expect(missing.length).toBe(0)
    expect(surplus.length).toBeLessThanOrEqual(IN_FLIGHT * SHIPMENT_EVENTS)
  })

  test('takes names in any script, for groups, keys and transactional ids are made of them', async () => {
    const world = await makeKafkaWorld({
      perHour: 100,
      configure: (config) => {
        const [{ proofpoint_tap: input }, { devo_1: output }] = [config.inputs, config.outputs]
        if (input === undefined || output === undefined) throw new Error('neither is there')
        config.inputs = { 'Eingang ß / 1': { ...input, type: 'proofpoint_tap', id: 'ünï-日本' } }
        config.outputs = { 'Zürich, 日本 🛰': output }
      },
    })
    for (let time = 0; time < 2; time += 1) expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
    expect(await statusOf(world)).toMatchObject([{ output: 'Zürich, 日本 🛰', backlog_events: 0 }])
  })

  test('four processes share an output: each event once, and each delivers some', { timeout: 90_000 }, async () => {
    const world = await makeKafkaWorld({ perHour: 0 })
    const worlds: readonly World[] = [world, ...(await Promise.all([1, 2, 3].map(() => makePeer(world))))]
    const collectors = worlds.map((each) => each.start(['run']))
    for (const collector of collectors) await collector.until(() => latestShare(collector).length === PARTITIONS / worlds.length, 'an equal share of devo_1')
    const arrived = (): number => worlds.reduce((sum, { arrivals }) => sum + arrivals.total, 0)
    let supplied = 0
    // The partition of a chunk is chance: more of them until each process has had one.
    while (worlds.some(({ arrivals }) => arrivals.total === 0)) {
      world.add(...TAP_ARRAYS.map((service) => ({ service, createdAt: Date.now() - MINUTE_MS, content: { id: `event ${(supplied += 1)}` } })))
      await Promise.race(worlds.map(({ receiver }) => receiver.until(() => arrived() >= supplied)))
    }
    for (const ended of await Promise.all(collectors.map((collector) => collector.stop()))) expect(ended).toMatchObject({ code: 0 })
    const all = new Arrivals()
    all.expect(shownEvents(world.model).map(textOf))
    for (const line of worlds.flatMap(({ lines }) => lines)) all.add(parseLine(line).text)
    const { missing, surplus } = all.difference()
    expect([missing.length, surplus.length]).toEqual([0, 0])
  })
})

/** The partitions of devo_1 that it told last. */
function latestShare({ log }: Collector): readonly unknown[] {
  const partitions = log.findLast(({ msg }) => /^Joined .*\.devo_1$/.test(msg))?.partitions
  return Array.isArray(partitions) ? partitions : []
}

async function upToDate(collector: Collector): Promise<void> {
  for (const service of TAP_ARRAYS)
    await collector.until(() => collector.log.some((entry) => entry.service === service && entry.msg === 'The data is up to date!'), `all of ${service} being in the buffer`)
}

/** Resolves once it has a share of devo_1, and another shipment has arrived since. */
async function delivering(collector: Collector, { receiver, arrivals }: World): Promise<void> {
  await collector.until(() => latestShare(collector).length > 0, 'a share of devo_1')
  await collector.logged('is reachable and accepts us')
  const before = arrivals.total
  await receiver.until(() => arrivals.total > before + SHIPMENT_EVENTS)
}

async function statusOf(world: World): Promise<unknown> {
  const { stdout } = await world.run(['status', '--json'])
  return (JSON.parse(stdout) as { outputs: unknown }).outputs // as the contract has it
}
