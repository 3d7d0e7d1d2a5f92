import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createKafkaClient } from '../../src/kafka/client.ts'
import { PartitionReader } from '../../src/kafka/partition-reader.ts'
import { ensureTopics, type TopicSpec } from '../../src/kafka/topics.ts'
import { FatalError } from '../../src/pipeline/errors.ts'
import { hasBroker, startBroker } from '../support/kafka-broker.ts'

const log = pino({ level: 'silent' })

function spec(name: string, config: Readonly<Record<string, string>>, partitions = 1): TopicSpec {
  return { name, partitions, replicationFactor: null, config, mustMatch: ['cleanup.policy'], fixedPartitions: true }
}

describe.skipIf(!hasBroker() && process.env.CI === undefined)('beside a real broker', () => {
  test('topics are made, found again, and refused where they would lose what they are to keep; an idle connection sets no timers', async () => {
    const broker = await startBroker()
    onTestFinished(() => broker.dispose())
    const client = createKafkaClient({ brokers: broker.brokers, ssl: false, sasl: null }, log)
    const name = `i${randomUUID()}`
    await expect(ensureTopics(client, [spec(name, { 'cleanup.policy': 'compact' })], { create: false })).rejects.toThrow(`do not exist: ${name}`)
    await ensureTopics(client, [spec(name, { 'cleanup.policy': 'compact' })], { create: true })
    await ensureTopics(client, [spec(name, { 'cleanup.policy': 'compact' })], { create: false })
    const wrongPolicy = ensureTopics(client, [spec(name, { 'cleanup.policy': 'delete' })], { create: true })
    await expect(wrongPolicy).rejects.toThrow('has cleanup.policy=compact, and it must be delete')
    await expect(wrongPolicy).rejects.toBeInstanceOf(FatalError)
    await expect(ensureTopics(client, [spec(name, { 'cleanup.policy': 'compact' }, 2)], { create: true })).rejects.toThrow('has 1 partitions, and it must have 2')

    const reader = new PartitionReader(client, name)
    onTestFinished(() => reader.close())
    const producer = client.producer({})
    await producer.connect()
    onTestFinished(() => producer.disconnect())
    await producer.send({ topic: name, messages: [{ key: 'k', value: 'v' }] })
    expect([...(await reader.offsets('latest')).values()]).toEqual([1])
    const timers = vi.spyOn(globalThis, 'setTimeout')
    onTestFinished(() => timers.mockRestore())
    // What must not happen has no sign to wait for; kafkajs itself would set some two hundred.
    await pause(250)
    expect(timers.mock.calls.filter(([, ms = 0]) => ms <= 1)).toHaveLength(0)
  })
})
