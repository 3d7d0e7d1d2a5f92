import { getEventListeners } from 'node:events'
import { randomBytes, randomUUID } from 'node:crypto'
import { CompressionTypes } from 'kafkajs'
import { afterEach, describe, expect, test } from 'vitest'
import { RetryableError } from '../../src/pipeline/errors.ts'
import { PartitionReader, PositionOutOfRangeError } from '../../src/kafka/partition-reader.ts'
import { describeKafka } from '../support/kafka.ts'
import { makeTopic, now, readTo, useClient, values, write } from './partition-reader-support.ts'

describeKafka('reading committed records', () => {
  const client = useClient()
  const readers: PartitionReader[] = []

  function readerOf(topic: string): PartitionReader {
    const reader = new PartitionReader(client(), topic)
    readers.push(reader)
    return reader
  }

  afterEach(async () => {
    await Promise.all(readers.splice(0).map((reader) => reader.close()))
  })

  const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index))

  test('a record comes as it was written, with its offset, time, key and headers', async () => {
    const topic = await makeTopic(client())
    await write(client(), topic, [
      { key: 'a', value: 'one', timestamp: '1700000000123', headers: { h: 'x', other: 'y' } },
      { value: null, timestamp: '1600000000000' },
    ])
    const [page] = await readerOf(topic).fetch(new Map([[0, 0]]), now)
    expect(page).toEqual({
      partition: 0,
      nextOffset: 2,
      highWatermark: 2,
      lastStableOffset: 2,
      records: [
        {
          offset: 0,
          timestamp: 1_700_000_000_123,
          key: Buffer.from('a'),
          value: Buffer.from('one'),
          headers: [
            { key: 'h', value: Buffer.from('x') },
            { key: 'other', value: Buffer.from('y') },
          ],
        },
        { offset: 1, timestamp: 1_600_000_000_000, key: null, value: null, headers: [] },
      ],
    })
  })

  test('several partitions at their own positions, also in the middle of a batch', async () => {
    const topic = await makeTopic(client(), 3)
    const messages = [0, 1, 2].flatMap((partition) => numbers(10).map((value) => ({ partition, value: `${partition}.${value}` })))
    await write(client(), topic, messages)
    const pages = await readerOf(topic).fetch(new Map([[0, 8], [1, 0], [2, 10]]), now)
    const byPartition = new Map(pages.map((page) => [page.partition, page]))
    expect(values(byPartition.get(0)?.records ?? [])).toEqual(['0.8', '0.9'])
    expect(byPartition.get(1)?.records).toHaveLength(10)
    expect(byPartition.get(2)).toMatchObject({ records: [], nextOffset: 10 })
  })

  test('an answer of one batch after the other, each partition in its turn', async () => {
    const topic = await makeTopic(client(), 2)
    for (const round of [0, 1, 2]) await write(client(), topic, [0, 1].map((partition) => ({ partition, value: `${partition}.${round}` })))
    const reader = readerOf(topic)
    const positions = new Map([[0, 0], [1, 0]])
    const read: string[] = []
    for (let left = 6; left > 0; left -= 1)
      for (const { partition, records, nextOffset } of await reader.fetch(positions, { ...now, maxBytes: 1 })) {
        read.push(...values(records))
        positions.set(partition, nextOffset)
      }
    expect(read.sort()).toEqual(['0.0', '0.1', '0.2', '1.0', '1.1', '1.2'])
  })

  describe('transactions', () => {
    const producers: { disconnect(): Promise<void> }[] = []
    afterEach(async () => {
      await Promise.all(producers.splice(0).map((producer) => producer.disconnect()))
    })
    async function producing() {
      const producer = client().producer({ transactionalId: `reader-${randomUUID()}`, maxInFlightRequests: 1, idempotent: true })
      await producer.connect()
      producers.push(producer)
      return producer
    }

    test('what was committed is read; aborted records and markers are passed', async () => {
      const topic = await makeTopic(client())
      const [a, b] = await Promise.all([producing(), producing()])
      const send = (value: string) => ({ topic, messages: [{ key: null, value, partition: 0 }] })
      const [kept, dropped] = [await a.transaction(), await b.transaction()]
      await kept.send(send('kept 1'))
      await dropped.send(send('dropped 1'))
      await write(client(), topic, [{ value: 'plain' }])
      await kept.send(send('kept 2'))
      await dropped.send(send('dropped 2'))
      await dropped.abort()
      await kept.send(send('kept 3'))
      await kept.commit()
      // The same producer once more, committed: its earlier abort counts no longer.
      const again = await b.transaction()
      await again.send(send('kept 4'))
      await again.commit()

      const reader = readerOf(topic)
      // The coordinator writes the markers soon after it has confirmed the commit.
      const end = 10
      await expect.poll(() => reader.offsets('stable')).toEqual(new Map([[0, end]]))
      const whole = await readTo(reader, end)
      expect(values(whole.records)).toEqual(['kept 1', 'plain', 'kept 2', 'kept 3', 'kept 4'])
      expect(whole.pages.at(-1)?.nextOffset).toBe(end)
      // The same in answers of a single batch, and from every offset on.
      for (const from of numbers(end).map(Number)) {
        const { records } = await readTo(reader, end, { from, maxBytes: 1 })
        expect(values(records)).toEqual(values(whole.records.filter(({ offset }) => offset >= from)))
      }
    })

    test('an open transaction hides what lies behind it until it ends', async () => {
      const topic = await makeTopic(client())
      const producer = await producing()
      await write(client(), topic, [{ value: 'before' }])
      const open = await producer.transaction()
      await open.send({ topic, messages: [{ key: null, value: 'inside', partition: 0 }] })
      await write(client(), topic, [{ value: 'behind' }])
      const reader = readerOf(topic)
      const [page] = await reader.fetch(new Map([[0, 0]]), now)
      expect(page).toMatchObject({ nextOffset: 1, lastStableOffset: 1, highWatermark: 3 })
      expect([...(await reader.offsets('stable')).values(), ...(await reader.offsets('latest')).values()]).toEqual([1, 3])
      await open.commit()
      expect(values((await readTo(reader, 4, { from: 1 })).records)).toEqual(['inside', 'behind'])
      expect([...(await reader.offsets('stable')).values()]).toEqual([4])
    })

    test('a transaction that is aborted across several batches and answers', async () => {
      const topic = await makeTopic(client())
      const producer = await producing()
      const dropped = await producer.transaction()
      for (const value of numbers(5)) await dropped.send({ topic, messages: [{ key: null, value, partition: 0 }] })
      await dropped.abort()
      const reader = readerOf(topic)
      const { records, pages } = await readTo(reader, 6, { maxBytes: 1 })
      expect(records).toEqual([])
      expect(pages.length).toBeGreaterThan(3)
    })
  })

  describe('sizes', () => {
    test('a record that is larger than maxBytes, of 8 MiB', async () => {
      const topic = await makeTopic(client(), 1, { 'max.message.bytes': String(9 * 1024 * 1024) })
      const value = randomBytes(8 * 1024 * 1024)
      await write(client(), topic, [{ value: 'small' }])
      await write(client(), topic, [{ value }])
      await write(client(), topic, [{ value: 'behind' }])
      const { records } = await readTo(readerOf(topic), 3, { maxBytes: 1_000 })
      expect(records.map((record) => record.value?.length)).toEqual([5, value.length, 6])
      expect(records[1]?.value?.equals(value)).toBe(true)
    })

    test('maxBytes counts what was compressed as it is without', async () => {
      const topic = await makeTopic(client())
      const long = 'x'.repeat(2_000)
      for (const batch of numbers(40))
        await write(
          client(),
          topic,
          numbers(100).map((value) => ({ value: `${batch}.${value}${long}` })),
          { compression: CompressionTypes.GZIP },
        )
      const { records, pages } = await readTo(readerOf(topic), 4_000, { maxBytes: 500_000 })
      expect(records.map(({ offset }) => offset)).toEqual(numbers(4_000).map(Number))
      const sizes = pages.map((page) => page.records.reduce((sum, { value }) => sum + (value?.length ?? 0), 0))
      expect(Math.max(...sizes)).toBeLessThan(1_000_000)
    })
  })

  describe('compression by the broker', () => {
    const batch = numbers(50).map((value) => ({ key: `k${value}`, value: `${value}${'y'.repeat(500)}` }))
    test.each(['gzip', 'zstd', 'uncompressed'])('%s', async (compression) => {
      const topic = await makeTopic(client(), 1, { 'compression.type': compression })
      await write(client(), topic, batch)
      const { records } = await readTo(readerOf(topic), 50)
      expect(values(records)).toEqual(batch.map(({ value }) => value))
    })
    test.each(['snappy', 'lz4'])('%s is told', async (compression) => {
      const topic = await makeTopic(client(), 1, { 'compression.type': compression })
      await write(client(), topic, batch)
      await expect(readTo(readerOf(topic), 50)).rejects.toThrow(new RegExp(`compressed with ${compression}.*compression.type`))
    })
  })

  test("the broker's time, where the topic has it", async () => {
    const topic = await makeTopic(client(), 1, { 'message.timestamp.type': 'LogAppendTime' })
    const before = Date.now()
    await write(client(), topic, [{ value: 'a', timestamp: '1' }, { value: 'b', timestamp: '2' }])
    const { records } = await readTo(readerOf(topic), 2)
    for (const { timestamp } of records) expect(Math.abs(timestamp - before)).toBeLessThan(60_000)
  })

  test('offsets: earliest, latest, and by time', async () => {
    const topic = await makeTopic(client(), 2)
    await write(client(), topic, numbers(10).map((value) => ({ value, timestamp: `${1_700_000_000_000 + Number(value) * 1_000}` })))
    const reader = readerOf(topic)
    expect([...(await reader.offsets('earliest'))]).toEqual([[0, 0], [1, 0]])
    expect([...(await reader.offsets('latest'))]).toEqual([[0, 10], [1, 0]])
    expect([...(await reader.offsets({ timestamp: 1_700_000_003_500 }))]).toEqual([[0, 4], [1, 0]])
    expect([...(await reader.offsets({ timestamp: 1_800_000_000_000 }))]).toEqual([[0, 10], [1, 0]])
  })

  describe('out of range', () => {
    test('before the start of the log, and behind its end', async () => {
      const topic = await makeTopic(client())
      await write(client(), topic, numbers(10).map((value) => ({ value })))
      const admin = client().admin()
      await admin.connect()
      await admin.fetchTopicOffsets(topic) // kafkajs looks for the leader in what it knows of the topic
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
      await admin.disconnect()
      const reader = readerOf(topic)
      const failure = await reader.fetch(new Map([[0, 2]]), now).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(PositionOutOfRangeError)
      expect(failure).toBeInstanceOf(RetryableError)
      expect(failure).toMatchObject({ partition: 0, position: 2, logStart: 6 })
      await expect(reader.fetch(new Map([[0, 11]]), now)).rejects.toMatchObject({ position: 11, logStart: 6 })
      // The reader itself is as good as before.
      expect(values((await readTo(reader, 10, { from: 6 })).records)).toEqual(['6', '7', '8', '9'])
    })
  })

  describe('waiting', () => {
    test('a long poll ends with the first record', async () => {
      const topic = await makeTopic(client())
      const reader = readerOf(topic)
      await reader.offsets('latest')
      const polled = reader.fetch(new Map([[0, 0]]), { ...now, maxWaitMs: 20_000, minBytes: 1 })
      const began = performance.now()
      await write(client(), topic, [{ value: 'there' }])
      expect(values((await polled).flatMap(({ records }) => records))).toEqual(['there'])
      expect(performance.now() - began).toBeLessThan(10_000)
    })

    test('an abort ends a long poll at once, and the reader goes on', async () => {
      const topic = await makeTopic(client())
      await write(client(), topic, [{ value: 'a' }])
      const reader = readerOf(topic)
      await reader.offsets('latest')
      const abort = new AbortController()
      const reason = new Error('enough')
      const polled = reader.fetch(new Map([[0, 1]]), { maxBytes: 1_000, maxWaitMs: 20_000, minBytes: 1, signal: abort.signal })
      const failed = expect(polled).rejects.toBe(reason)
      expect(getEventListeners(abort.signal, 'abort')).toHaveLength(1)
      const began = performance.now()
      abort.abort(reason)
      await failed
      expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0)
      expect(values((await readTo(reader, 1)).records)).toEqual(['a'])
      expect(performance.now() - began).toBeLessThan(5_000)
      await expect(reader.fetch(new Map([[0, 0]]), { ...now, signal: abort.signal })).rejects.toBe(reason)
    })

    test('no listener is left on the signal of many fetches', async () => {
      const topic = await makeTopic(client())
      const reader = readerOf(topic)
      const { signal } = new AbortController()
      for (let left = 20; left > 0; left -= 1) await reader.fetch(new Map([[0, 0]]), { ...now, signal })
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    })

    test('close waits for no answer, and leaves no connection', async () => {
      const topic = await makeTopic(client())
      const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
      // Those of the tests before are on their way out.
      await expect.poll(sockets).toBe(0)
      const reader = new PartitionReader(client(), topic)
      const others = await Promise.all(numbers(5).map(() => reader.offsets('latest')))
      expect(others).toHaveLength(5)
      const polled = Promise.allSettled(numbers(3).map(() => reader.fetch(new Map([[0, 0]]), { ...now, maxWaitMs: 20_000, minBytes: 1 })))
      expect(sockets()).toBeGreaterThan(0)
      const began = performance.now()
      await reader.close()
      for (const { status } of await polled) expect(status).toBe('rejected')
      expect(performance.now() - began).toBeLessThan(1_000)
      await expect.poll(sockets).toBe(0)
      await expect(reader.fetch(new Map([[0, 0]]), now)).rejects.toThrow('closed')
    })

    test('many readings at once over one reader', async () => {
      const topic = await makeTopic(client(), 2)
      await write(client(), topic, numbers(200).map((value) => ({ value, partition: Number(value) % 2 })))
      const reader = readerOf(topic)
      const read = await Promise.all(numbers(20).map((from) => readTo(reader, 100, { from: Number(from), partition: Number(from) % 2 })))
      read.forEach(({ records }, from) => expect(records).toHaveLength(100 - from))
    })
  })
})
