import { createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RetryableError } from '../../src/pipeline/errors.ts'
import type { KafkaClient } from '../../src/kafka/client.ts'
import { PartitionReader } from '../../src/kafka/partition-reader.ts'
import { startBroker, type TestBroker } from '../support/kafka-broker.ts'
import { clientOf, makeTopic, now, readTo, values, write, withKafka } from './partition-reader-support.ts'

withKafka('brokers that are away', () => {
  let broker: TestBroker
  let client: KafkaClient

  beforeAll(async () => {
    broker = await startBroker()
    client = clientOf(broker.brokers)
  }, 120_000)
  afterAll(() => broker.dispose())

  const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length

  test('a broker that goes away is a RetryableError, and the same reader goes on when it is back', { timeout: 90_000 }, async () => {
    const topic = await makeTopic(client)
    await write(client, topic, [{ value: 'before' }])
    const reader = new PartitionReader(client, topic)
    try {
      expect(values((await readTo(reader, 1)).records)).toEqual(['before'])
      const polled = reader.fetch(new Map([[0, 1]]), { ...now, maxWaitMs: 20_000, minBytes: 1 })
      const failed = expect(polled).rejects.toBeInstanceOf(RetryableError)
      await broker.stop('SIGKILL')
      await failed
      await expect(reader.fetch(new Map([[0, 0]]), now)).rejects.toBeInstanceOf(RetryableError)
      await expect(reader.offsets('latest')).rejects.toBeInstanceOf(RetryableError)

      // Given up at once, though the connection is tried for some seconds.
      const abort = new AbortController()
      const given = reader.fetch(new Map([[0, 0]]), { ...now, signal: abort.signal })
      const began = performance.now()
      abort.abort(new Error('enough'))
      await expect(given).rejects.toThrow('enough')
      expect(performance.now() - began).toBeLessThan(500)

      await broker.start()
      const read = async (): Promise<string[]> => values((await readTo(reader, 1)).records)
      await expect.poll(read, { timeout: 30_000, interval: 200 }).toEqual(['before'])
    } finally {
      await reader.close()
    }
  })

  test('close while nobody answers ends the wait and the connection', async () => {
    const accepted = new Set<Socket>()
    const silent = createServer((socket) => void accepted.add(socket))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const address = silent.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const before = sockets()
    const reader = new PartitionReader(clientOf([`127.0.0.1:${port}`]), 'any')
    const fetched = reader.fetch(new Map([[0, 0]]), now)
    const failed = expect(fetched).rejects.toBeInstanceOf(RetryableError)
    await expect.poll(() => accepted.size).toBe(1)
    const began = performance.now()
    await reader.close()
    await failed
    expect(performance.now() - began).toBeLessThan(1_000)
    for (const socket of accepted) socket.destroy()
    await expect.poll(sockets).toBeLessThanOrEqual(before)
    expect(accepted.size).toBe(1)
    await new Promise((resolve) => silent.close(resolve))
  })
})
