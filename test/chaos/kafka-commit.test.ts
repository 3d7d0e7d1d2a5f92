import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { PartitionReader } from '../../src/kafka/partition-reader.ts'
import { readableUntil } from '../e2e/world.ts'
import { END_TXN, PRODUCE, startProxy, type Fate } from '../kafka/kafka-proxy.ts'
import { describeKafka, describeOwnBroker, sharedBroker } from '../support/kafka.ts'
import { startBroker, type TestBroker } from '../support/kafka-broker.ts'
import { atRequest, clientOf, expectOnceEach, makeKafkaWorld } from './kafka-world.ts'

/** The first ones are the marker's and those of the four services' starts; this one has events. */
const WITH_EVENTS = 7

describeKafka('a commit', () => {
  test.each([
    ['that never gets to the broker', 'lose'],
    ['whose answer is lost', 'lose answer'],
  ] as const)('%s leaves each event once in the topic', async (_, fate) => {
    const broker = (await sharedBroker())[0] ?? ''
    const proxy = await startProxy(broker)
    const world = await makeKafkaWorld({ brokers: proxy.brokers, readFrom: [broker] })
    let lost = 0
    atRequest(proxy, END_TXN, WITH_EVENTS, () => {
      lost += 1
      return fate
    })
    const collector = world.start(['run'])
    const until = readableUntil()
    await world.allArrive(until)
    expect(lost).toBe(1)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    await expectOnceEach(world, until)
  })
})

describeOwnBroker('in the middle of a transaction', () => {
  let broker: TestBroker
  beforeAll(async () => {
    broker = await startBroker({ properties: { 'transaction.abort.timed.out.transaction.cleanup.interval.ms': '300' } })
  })
  afterAll(async () => {
    await broker.dispose()
  })

  test('the broker is killed, events written and not committed: they are written again, once', { timeout: 90_000 }, async () => {
    const proxy = await startProxy(broker.brokers[0] ?? '')
    const world = await makeKafkaWorld({ brokers: proxy.brokers, readFrom: broker.brokers })
    const killed = Promise.withResolvers<undefined>()
    atRequest(proxy, END_TXN, WITH_EVENTS, async (): Promise<Fate> => {
      await broker.stop('SIGKILL')
      killed.resolve(undefined)
      return 'lose'
    })
    const collector = world.start(['run'])
    await killed.promise
    await collector.logged('Fetching waits')
    await broker.start()
    const until = readableUntil()
    await world.allArrive(until, 60_000)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    await expectOnceEach(world, until)
  })

  test('the process is stopped for longer than the broker waits: it steps down, and the events are written again, once', { timeout: 60_000 }, async () => {
    const proxy = await startProxy(broker.brokers[0] ?? '', { transactionTimeoutMs: 1_500 })
    const world = await makeKafkaWorld({ brokers: proxy.brokers, readFrom: broker.brokers })
    const stopped = Promise.withResolvers<undefined>()
    const collector = world.start(['run'])
    atRequest(proxy, PRODUCE, WITH_EVENTS, () => {
      collector.kill('SIGSTOP')
      stopped.resolve(undefined)
      return 'pass'
    })
    await stopped.promise
    await aborted(broker.brokers, `${world.prefix}.state`)
    collector.kill('SIGCONT')
    await collector.logged('standing by')
    const until = readableUntil()
    await world.allArrive(until)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    await expectOnceEach(world, until)
  })
})

/** Resolves when the broker has ended by itself the transaction that is open now. */
async function aborted(brokers: readonly string[], topic: string): Promise<void> {
  const reader = new PartitionReader(clientOf(brokers), topic)
  const offset = async (question: 'stable' | 'latest'): Promise<number> => (await reader.offsets(question)).get(0) ?? 0
  try {
    await vi.waitFor(async () => expect(await offset('stable')).toBeLessThan(await offset('latest')), { timeout: 5_000, interval: 20 })
    await vi.waitFor(async () => expect(await offset('stable')).toBe(await offset('latest')), { timeout: 20_000 })
  } finally {
    await reader.close()
  }
}
