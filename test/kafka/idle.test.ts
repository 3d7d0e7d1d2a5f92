import { setTimeout as pause } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { PartitionReader } from '../../src/kafka/partition-reader.ts'
import { describeKafka } from '../support/kafka.ts'
import { makeTopic, useClient } from './partition-reader-support.ts'

describeKafka('an idle connection', () => {
  const clientOfRun = useClient()

  test('sets no timers', async () => {
    const client = clientOfRun()
    const topic = await makeTopic(client)
    const reader = new PartitionReader(client, topic)
    onTestFinished(() => reader.close())
    const producer = client.producer({})
    await producer.connect()
    onTestFinished(() => producer.disconnect())
    await producer.send({ topic, messages: [{ key: 'k', value: 'v' }] })
    expect([...(await reader.offsets('latest')).values()]).toEqual([1])
    const timers = vi.spyOn(globalThis, 'setTimeout')
    onTestFinished(() => timers.mockRestore())
    // What must not happen has no sign to wait for; kafkajs itself would set some two hundred.
    await pause(250)
    expect(timers.mock.calls.filter(([, ms = 0]) => ms <= 1)).toHaveLength(0)
  })
})
