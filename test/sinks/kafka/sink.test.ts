import { randomBytes, randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import kafkajs from 'kafkajs'
import { beforeAll, expect, test } from 'vitest'
import type { KafkaClient } from '../../../src/kafka/client.ts'
import { ensureTopics } from '../../../src/kafka/topics.ts'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import type { Batch } from '../../../src/pipeline/event.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import { batchesOf, batchOf } from '../../contract/batches.ts'
import { shipAll } from '../../contract/sink-suite.ts'
import { PRODUCE, startProxy, type KafkaProxy } from '../../kafka/kafka-proxy.ts'
import { clientOf, makeTopic } from '../../kafka/partition-reader-support.ts'
import { describeKafka, sharedBroker } from '../../support/kafka.ts'
import { configOf, recordsIn, sinkOf, valuesIn } from './support.ts'

const never = new AbortController().signal

/** Ships, and gives what was refused: the batch's number, the event's, and why. */
async function shipWithRejects(sink: Sink, batches: readonly Batch[]): Promise<[number, number, string][]> {
  const rejected: [number, number, string][] = []
  const delivery = sink.ship({ signal: never, reject: (batch, index, reason) => void rejected.push([batches.indexOf(batch), index, reason]) })
  const source = Readable.from(batches, { highWaterMark: 1 })
  if (typeof delivery === 'function') await pipeline(source, delivery)
  else await pipeline(source, delivery)
  return rejected
}

async function failureOf(work: Promise<unknown>): Promise<RetryableError> {
  const error: unknown = await work.then(() => null, (reason: unknown) => reason)
  expect(error).toBeInstanceOf(RetryableError)
  return error as RetryableError // asserted
}

/** Every write waits there, for ever. */
async function holdWrites(proxy: KafkaProxy): Promise<void> {
  const arrived = Promise.withResolvers<undefined>()
  const held = Promise.withResolvers<'pass'>()
  proxy.fate = (apiKey) => {
    if (apiKey !== PRODUCE) return 'pass'
    arrived.resolve(undefined)
    return held.promise
  }
  await arrived.promise
}

describeKafka('an output to a topic', () => {
  let brokers: readonly string[]
  let client: KafkaClient

  beforeAll(async () => {
    brokers = await sharedBroker()
    client = clientOf(brokers)
  })

  const proxied = async (): Promise<KafkaProxy> => await startProxy(brokers[0] ?? '')

  test.each(['gzip', 'none'] as const)('%s: one JSON value an event, keyed by its service, in the partition that others choose for it, in order', async (compression) => {
    const topic = await makeTopic(client, 5)
    const services = ['clicksBlocked', 'messagesDelivered', 'clicksBlocked']
    const batches = services.map((service, index) => batchOf([`{"n":${index}.0}`, `{"big":12345678901234567890}`], { service, environment: 'prod' }))
    await shipAll(sinkOf(configOf(brokers, topic, { compression })), batches)
    const added = '"@devo_pulling_id":"1700000000123","@devo_environment":"prod"}'
    const partitioner = kafkajs.Partitioners.DefaultPartitioner()
    const partitionMetadata = Array.from({ length: 5 }, (_, partitionId) => ({ partitionId, partitionErrorCode: 0, leader: 1, replicas: [1], isr: [1] }))
    const records = await recordsIn(client, topic)
    for (const service of new Set(services)) {
      const found = records[partitioner({ topic, partitionMetadata, message: { key: service, value: null } })]?.filter(({ key }) => key?.toString() === service)
      const wanted = services.flatMap((one, index) => (one === service ? [`{"n":${index}.0,${added}`, `{"big":12345678901234567890,${added}`] : []))
      expect(found?.map(({ value }) => value?.toString())).toEqual(wanted)
    }
    expect(records.flat()).toHaveLength(6)
  })

  test('an event that is larger than the topic takes is rejected, and it alone; the others arrive once and in order', async () => {
    const topic = await makeTopic(client, 1, { 'max.message.bytes': '20000' })
    const event = (id: string, bytes: number): string => JSON.stringify({ id, text: randomBytes(bytes / 2).toString('hex') })
    const batches = [
      batchOf(Array.from({ length: 40 }, (_, index) => event(`a${index}`, 1000))),
      batchOf([event('b0', 1000), event('b1', 60_000), event('b2', 1000), event('b3', 50_000)]),
      batchOf([event('c0', 70_000)]),
    ]
    const rejected = await shipWithRejects(sinkOf(configOf(brokers, topic)), batches)
    expect(rejected.map(([batch, index]) => [batch, index])).toEqual([[1, 1], [1, 3], [2, 0]])
    expect(rejected[0]?.[2]).toMatch(/^the topic takes no event of 60\d\d\d bytes \(max\.message\.bytes\)$/)
    const ids = (await valuesIn(client, topic)).map((value) => (JSON.parse(value) as { id: string }).id)
    expect(ids).toEqual([...Array.from({ length: 40 }, (_, index) => `a${index}`), 'b0', 'b2'])
  })

  test('asks for the acknowledgement of all replicas in sync', async () => {
    const topic = await makeTopic(client)
    const proxy = await proxied()
    const asked: (number | null)[] = []
    proxy.fate = (apiKey, _isTransactional, acks) => {
      if (apiKey === PRODUCE) asked.push(acks)
      return 'pass'
    }
    await shipAll(sinkOf(configOf(proxy.brokers, topic)), batchesOf('a', 500).batches)
    expect(asked.length).toBeGreaterThan(0)
    expect(asked.filter((acks) => acks !== -1)).toEqual([])
  })

  test('a topic that is missing is waited for, and never made', async () => {
    const topic = `missing-${randomUUID()}`
    const sink = sinkOf(configOf(brokers, topic))
    for (const attempt of [() => sink.check(never), () => shipAll(sink, batchesOf('a', 1).batches)])
      expect((await failureOf(attempt())).message).toBe(`the topic ${topic} does not exist, or this user may not see it; it is not made here`)
    await ensureTopics(client, [{ name: topic, partitions: 1, replicationFactor: null, config: {}, mustMatch: [] }], { create: true })
    await shipAll(sink, batchesOf('a', 1).batches)
    expect(await valuesIn(client, topic)).toHaveLength(1)
  })

  test.each(['lose', 'lose answer'] as const)('a connection that breaks (%s) fails the shipment, and the next one goes over a new one', async (fate) => {
    const topic = await makeTopic(client)
    const proxy = await proxied()
    const sink = sinkOf(configOf(proxy.brokers, topic))
    await sink.check(never)
    proxy.fate = (apiKey) => (apiKey === PRODUCE ? fate : 'pass')
    await failureOf(shipAll(sink, batchesOf('a', 5).batches))
    proxy.fate = () => 'pass'
    await shipAll(sink, batchesOf('b', 5).batches)
    // As a broker does with one that is idle.
    await proxy.closeAll()
    await shipAll(sink, batchesOf('c', 5).batches)
    expect(await valuesIn(client, topic)).toHaveLength(fate === 'lose' ? 10 : 15)
  })

  test('a broker that is not there is told with its address, and with where to look', async () => {
    const sink = sinkOf(configOf(['127.0.0.1:1'], 'any'))
    expect((await failureOf(sink.check(never))).message).toMatch(/^writing to the topic any: .*ECONNREFUSED 127\.0\.0\.1:1/)
  })

  test('a broker that hangs: the abort of a shipment is followed at once, and the next shipment is free of it', async () => {
    const topic = await makeTopic(client)
    const proxy = await proxied()
    const sink = sinkOf(configOf(proxy.brokers, topic))
    const abort = new AbortController()
    const holding = holdWrites(proxy)
    const outcome = shipAll(sink, batchesOf('a', 5).batches, abort.signal).catch((error: unknown) => String(error))
    await holding
    abort.abort(new Error('given up'))
    expect(await outcome).toContain('given up')
    proxy.fate = () => 'pass'
    await shipAll(sink, batchesOf('b', 5).batches)
    expect(await valuesIn(client, topic)).toHaveLength(5)
  })

  test('a broker that hangs: close fails what is under way and waits for nothing, also twice', async () => {
    const topic = await makeTopic(client)
    const proxy = await proxied()
    const sink = sinkOf(configOf(proxy.brokers, topic))
    const holding = holdWrites(proxy)
    const outcome = shipAll(sink, batchesOf('a', 5).batches).catch((error: unknown) => String(error))
    await holding
    await Promise.all([sink.close(), sink.close()])
    expect(await outcome).toContain('the output was closed')
    await expect(sink.check(never)).rejects.toThrow('closed')
  })

  test('a broker that hangs: a check ends with its signal', async () => {
    const proxy = await proxied()
    const arrived = Promise.withResolvers<undefined>()
    proxy.fate = () => {
      arrived.resolve(undefined)
      return Promise.withResolvers<'pass'>().promise
    }
    const abort = new AbortController()
    const check = sinkOf(configOf(proxy.brokers, 'any')).check(abort.signal)
    const outcome = check.catch((error: unknown) => String(error))
    await arrived.promise
    abort.abort(new Error('given up'))
    expect(await outcome).toContain('given up')
  })

  test('no certificate file is told by its name', async () => {
    const sink = sinkOf(configOf(brokers, 'any', { ssl: { ca: '/nowhere/ca.crt', cert: null, key: null } }))
    expect((await failureOf(sink.check(never))).message).toBe('/nowhere/ca.crt cannot be read')
  })
})
