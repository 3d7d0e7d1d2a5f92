import { createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readOffsets } from '../../src/kafka/group-offsets.ts'
import { PartitionReader } from '../../src/kafka/partition-reader.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import { startBroker, type TestBroker } from '../support/kafka-broker.ts'
import { describeOwnBroker } from '../support/kafka.ts'
import { aborted, makeGroup, SESSION_MS, silenceable, SleepyClock } from './group-support.ts'
import { clientOf, makeTopic, never, now, readTo, values, write } from './partition-reader-support.ts'

describeOwnBroker('with a broker that goes away', () => {
  let broker: TestBroker

  beforeAll(async () => {
    // The controller lets a killed broker back in when its session is over.
    broker = await startBroker({ properties: { 'broker.session.timeout.ms': '3000', 'broker.heartbeat.interval.ms': '500' } })
  })
  afterAll(() => broker.dispose())

  describe('a PartitionReader', () => {
    const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length

    test('a broker that goes away is a RetryableError, and the same reader goes on when it is back', { timeout: 90_000 }, async () => {
      const client = clientOf(broker.brokers)
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
      // Those of the tests before are on their way out; the server's own end of a connection counts too.
      await expect.poll(sockets).toBe(0)
      const reader = new PartitionReader(clientOf([`127.0.0.1:${port}`]), 'any')
      const fetched = reader.fetch(new Map([[0, 0]]), now)
      const failed = expect(fetched).rejects.toBeInstanceOf(RetryableError)
      await expect.poll(() => accepted.size).toBe(1)
      const began = performance.now()
      await reader.close()
      await failed
      expect(performance.now() - began).toBeLessThan(1_000)
      for (const socket of accepted) socket.destroy()
      await expect.poll(sockets).toBe(0)
      expect(accepted.size).toBe(1)
      await new Promise((resolve) => silent.close(resolve))
    })
  })

  describe('a GroupMember', () => {
    test.each(['SIGTERM', 'SIGKILL'] as const)('loses its share when the broker ends (%s), and joins again when it is back', async (signal) => {
      const group = await makeGroup(broker.brokers, 2)
      const clock = new SleepyClock()
      const member = group.member({ clock })
      const share = await member.join(never)
      await share.commit(new Map([[0, { offset: 4, metadata: 'x' }]]))
      await broker.stop(signal)
      await expect(share.commit(new Map([[0, { offset: 5, metadata: '' }]]))).rejects.toThrow(RetryableError)
      await expect(share.committed()).rejects.toThrow(RetryableError)
      await aborted(share.lost)
      await share.release()
      await expect(member.join(never)).rejects.toThrow(RetryableError)
      await broker.start()
      let again = null
      while (again === null) again = await member.join(never).catch(retryable)
      expect(again.partitions).toEqual([0, 1])
      expect(await again.committed()).toEqual(new Map([[0, { offset: 4, metadata: 'x' }], [1, null]]))
      await member.close()
      expect(clock.timers).toBe(0)
    }, 60_000)

    test('keeps its share over a restart that is shorter than its session', async () => {
      const group = await makeGroup(broker.brokers, 1)
      const member = group.member({ sessionTimeoutMs: 60_000 })
      const share = await member.join(never)
      await broker.stop()
      await broker.start()
      let isCommitted = false
      while (!isCommitted) isCommitted = await share.commit(new Map([[0, { offset: 4, metadata: '' }]])).then(() => true, retryable) ?? false
      expect([share.ending.aborted, share.lost.aborted]).toEqual([false, false])
      expect((await share.committed()).get(0)?.offset).toBe(4)
    }, 60_000)

    test('does not wait for a broker that says nothing: not for the session, not to stop joining, not to close', async () => {
      const group = await makeGroup(broker.brokers, 1)
      const { client, silence, dispose } = await silenceable(group.client)
      try {
        const [member, second] = [group.member({ client }), group.member({ client })]
        const share = await member.join(never)
        silence()
        const startedAt = performance.now()
        await aborted(share.lost)
        expect(performance.now() - startedAt).toBeLessThan(2 * SESSION_MS)
        const stop = new AbortController()
        const joining = second.join(stop.signal)
        stop.abort(new Error('enough'))
        await expect(joining).rejects.toThrow('enough')
        await Promise.all([member.close(), second.close()])
        expect(performance.now() - startedAt).toBeLessThan(3 * SESSION_MS)
      } finally {
        await dispose()
      }
    })

    test('is told when the broker is away, also who is no member', async () => {
      const group = await makeGroup(broker.brokers, 1)
      await broker.stop('SIGKILL')
      await expect(readOffsets(group.client, group.groupId, group.topic, [0])).rejects.toThrow(RetryableError)
      await expect(group.member().join(never)).rejects.toThrow(/joining the group .*ECONNREFUSED/)
    }, 60_000)
  })
})

function retryable(error: unknown): null {
  if (!(error instanceof RetryableError)) throw error
  return null
}
