import { randomBytes, randomUUID } from 'node:crypto'
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import type { KafkaClient } from '../../src/kafka/client.ts'
import { FencedError } from '../../src/kafka/errors.ts'
import { PartitionReader } from '../../src/kafka/partition-reader.ts'
import type { BatchRecord } from '../../src/kafka/record-batch.ts'
import { RecordProducer } from '../../src/kafka/record-producer.ts'
import { TransactionalProducer, type TransactionalProducerOptions } from '../../src/kafka/transactional-producer.ts'
import { FatalError, RetryableError } from '../../src/pipeline/errors.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { END_TXN, PRODUCE, startProxy, type KafkaProxy } from './kafka-proxy.ts'
import { clientOf, makeTopic, readTo, values } from './partition-reader-support.ts'

function record(value: string | Buffer | null, timestamp?: number): BatchRecord {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return { key: Buffer.from('key'), value: bytes, ...(timestamp !== undefined && { timestamp }) }
}

function producerOf(client: KafkaClient, id: string, options: Partial<TransactionalProducerOptions> = {}): TransactionalProducer {
  const producer = new TransactionalProducer(client, id, { compression: 'none', ...options })
  onTestFinished(() => producer.close())
  return producer
}

function readerOf(client: KafkaClient, topic: string): PartitionReader {
  const reader = new PartitionReader(client, topic)
  onTestFinished(() => reader.close())
  return reader
}

/** A proxy that holds every commit until `release`. */
async function holdCommit(broker: string): Promise<{ proxy: KafkaProxy; arrived: Promise<void>; release: () => void }> {
  const proxy = await startProxy(broker)
  const arrived = Promise.withResolvers<undefined>()
  const released = Promise.withResolvers<'pass'>()
  proxy.fate = (apiKey) => {
    if (apiKey !== END_TXN) return 'pass'
    arrived.resolve(undefined)
    return released.promise
  }
  return { proxy, arrived: arrived.promise, release: () => released.resolve('pass') }
}

/** What a new holder of the id makes readable, and then finds. */
async function valuesAfterTakeover(client: KafkaClient, topic: string, id: string): Promise<string[]> {
  const offsets = await producerOf(client, id).commit([{ topic, partition: 0, records: [record('marker')] }])
  const { records } = await readTo(readerOf(client, topic), (offsets.get(`${topic}/0`) ?? 0) + 1)
  return values(records)
}

describeKafka('a transactional producer', () => {
  let broker: string
  let client: KafkaClient

  beforeAll(async () => {
    const [first] = await sharedBroker()
    broker = first ?? ''
    client = clientOf([broker])
  })

  test.each(['none', 'gzip'] as const)('%s: records come out as they went in, and the offsets are told', async (compression) => {
    const topic = await makeTopic(client, 2)
    const producer = producerOf(client, randomUUID(), { compression })
    const batches = [
      { topic, partition: 0, records: [record('a', 1_700_000_000_000), record(null, 1_600_000_000_000)] },
      { topic, partition: 1, records: [record('b')] },
      { topic, partition: 1, records: [] },
      { topic, partition: 0, records: [record('ä'.repeat(5_000), 1_700_000_000_001)] },
    ]
    expect(Object.fromEntries(await producer.commit(batches))).toEqual({ [`${topic}/0`]: 2, [`${topic}/1`]: 0 })
    // The end of a transaction takes an offset too.
    expect(Object.fromEntries(await producer.commit([{ topic, partition: 0, records: [record('c', 5)] }]))).toEqual({ [`${topic}/0`]: 4 })
    const { records } = await readTo(readerOf(client, topic), 5)
    expect(values(records)).toEqual(['a', 'null', 'ä'.repeat(5_000), 'c'])
    expect(records.map(({ timestamp }) => timestamp)).toEqual([1_700_000_000_000, 1_600_000_000_000, 1_700_000_000_001, 5])
    expect(records.map(({ key }) => key?.toString())).toEqual(['key', 'key', 'key', 'key'])
    expect(await producer.commit([])).toEqual(new Map())
  })

  test('more than a batch may hold goes in one transaction, in its order', async () => {
    const topic = await makeTopic(client, 3)
    const sent = [0, 1, 2].map((partition) => ({
      topic,
      partition,
      records: Array.from({ length: 40 }, (_, index) => record(`${index} ${randomBytes(50_000).toString('hex')}`)),
    }))
    const offsets = await producerOf(client, randomUUID()).commit(sent)
    const reader = readerOf(client, topic)
    for (const { partition, records } of sent) {
      const read = await readTo(reader, (offsets.get(`${topic}/${partition}`) ?? 0) + 1, { partition })
      expect(values(read.records)).toEqual(records.map(({ value }) => value?.toString()))
    }
  })

  test('what the topic does not take is told with what to do, and nothing of the transaction stays or is waited for', async () => {
    const topic = await makeTopic(client)
    const id = randomUUID()
    const producer = producerOf(client, id)
    const records = [...Array.from({ length: 20 }, () => record(Buffer.alloc(60_000))), record(randomBytes(1_200_000))]
    const error: unknown = await producer.commit([{ topic, partition: 0, records }]).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(FatalError)
    expect(String(error)).toContain('Raise max.message.bytes')
    expect(producer.dead).toBe(true)
    // Aborted by the producer itself: no other has come, and its time-out is far.
    const { records: read } = await readTo(readerOf(client, topic), 20)
    expect(read).toEqual([])
    expect(await valuesAfterTakeover(client, topic, id)).toEqual(['marker'])
  })

  test('is dead after any error, and says so', async () => {
    const producer = producerOf(client, randomUUID())
    await expect(producer.commit([{ topic: 'no-such-topic', partition: 0, records: [record('a')] }])).rejects.toThrow('writing a transaction as')
    await expect(producer.commit([])).rejects.toThrow('a new one must be made')
  })

  test('a second transaction beside the first is refused, and the first goes on', async () => {
    const topic = await makeTopic(client)
    const producer = producerOf(client, randomUUID())
    const first = producer.commit([{ topic, partition: 0, records: [record('a')] }])
    await expect(producer.commit([{ topic, partition: 0, records: [record('b')] }])).rejects.toThrow('under way')
    expect((await first).get(`${topic}/0`)).toBe(0)
  })

  test('a new holder of the id fences the old one in the middle of its transaction', async () => {
    const topic = await makeTopic(client)
    const id = randomUUID()
    const { proxy, arrived, release } = await holdCommit(broker)
    const old = producerOf(clientOf(proxy.brokers), id)
    const outcome = old.commit([{ topic, partition: 0, records: [record('old')] }]).catch((reason: unknown) => reason)
    await arrived
    expect(await valuesAfterTakeover(client, topic, id)).toEqual(['marker'])
    release()
    expect(await outcome).toBeInstanceOf(FencedError)
  })

  test('a transaction that was open for too long is aborted by the broker, and its producer fenced', async () => {
    const topic = await makeTopic(client)
    const id = randomUUID()
    const { proxy, arrived, release } = await holdCommit(broker)
    const slow = producerOf(clientOf(proxy.brokers), id, { transactionTimeoutMs: 500 })
    const outcome = slow.commit([{ topic, partition: 0, records: [record('slow')] }]).catch((reason: unknown) => reason)
    await arrived
    // The broker looks every ten seconds; until then a reader stands before what is open.
    const reader = readerOf(client, topic)
    const { records } = await vi.waitFor(() => readTo(reader, 2), { timeout: 25_000 })
    expect(records).toEqual([])
    release()
    expect(await outcome).toBeInstanceOf(FencedError)
  })

  test('an idle one is fenced too', async () => {
    const topic = await makeTopic(client)
    const id = randomUUID()
    const old = producerOf(client, id)
    await old.commit([{ topic, partition: 0, records: [record('old')] }])
    expect(await valuesAfterTakeover(client, topic, id)).toEqual(['old', 'marker'])
    await expect(old.commit([{ topic, partition: 0, records: [record('late')] }])).rejects.toBeInstanceOf(FencedError)
    expect(await valuesAfterTakeover(client, topic, id)).toEqual(['old', 'marker', 'marker'])
  })

  test.each([
    ['the events', PRODUCE, 'lose', ['marker']],
    ['the answer to the events', PRODUCE, 'lose answer', ['marker']],
    ['the commit', END_TXN, 'lose', ['marker']],
    ['the answer to the commit', END_TXN, 'lose answer', ['once', 'marker']],
  ] as const)('a connection that breaks with %s leaves it unknown, and the next holder finds all or nothing', async (_, request, fate, found) => {
    const topic = await makeTopic(client)
    const id = randomUUID()
    const proxy = await startProxy(broker)
    proxy.fate = (apiKey) => (apiKey === request ? fate : 'pass')
    const producer = producerOf(clientOf(proxy.brokers), id)
    const error: unknown = await producer.commit([{ topic, partition: 0, records: [record('once')] }]).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RetryableError)
    expect(error).not.toBeInstanceOf(FencedError)
    expect(producer.dead).toBe(true)
    expect(await valuesAfterTakeover(client, topic, id)).toEqual(found)
  })

  test('a connection that the broker has closed between two transactions is opened again', async () => {
    const topic = await makeTopic(client)
    const proxy = await startProxy(broker)
    const producer = producerOf(clientOf(proxy.brokers), randomUUID())
    await producer.commit([{ topic, partition: 0, records: [record('a')] }])
    await proxy.closeAll()
    await producer.commit([{ topic, partition: 0, records: [record('b')] }])
    const { records } = await readTo(readerOf(client, topic), 3)
    expect(values(records)).toEqual(['a', 'b'])
  })

  test('a plain producer writes outside of transactions, and again after a connection broke', async () => {
    const topic = await makeTopic(client)
    const proxy = await startProxy(broker)
    const producer = new RecordProducer(clientOf(proxy.brokers))
    onTestFinished(() => producer.close())
    await producer.send([{ topic, partition: 0, records: [record('a'), record(null)] }])
    await proxy.closeAll()
    await producer.send([{ topic, partition: 0, records: [record('b')] }])
    const { records } = await readTo(readerOf(client, topic), 3)
    expect(values(records)).toEqual(['a', 'null', 'b'])
  })
})
