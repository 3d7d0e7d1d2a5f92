import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { beforeAll, expect, test } from 'vitest'
import { createKafkaClient, type KafkaClient } from '../../src/kafka/client.ts'
import { checkNewTopics, ensureTopics, type TopicSpec } from '../../src/kafka/topics.ts'
import { FatalError } from '../../src/pipeline/errors.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'

const COMPACTED = { 'cleanup.policy': 'compact' }

function spec(name: string, overrides: Partial<TopicSpec> = {}): TopicSpec {
  return { name, partitions: 1, replicationFactor: null, config: COMPACTED, mustMatch: ['cleanup.policy'], fixedPartitions: true, ...overrides }
}

describeKafka('topics', () => {
  let client: KafkaClient
  beforeAll(async () => {
    client = createKafkaClient({ brokers: await sharedBroker(), ssl: false, sasl: null }, pino({ level: 'silent' }))
  })

  test('are made, found again, and refused where they would lose what they are to keep', async () => {
    const name = `t${randomUUID()}`
    await expect(ensureTopics(client, [spec(name)], { create: false })).rejects.toThrow(`do not exist: ${name}`)
    await ensureTopics(client, [spec(name)], { create: true })
    await ensureTopics(client, [spec(name)], { create: false })
    const wrongPolicy = ensureTopics(client, [spec(name, { config: { 'cleanup.policy': 'delete' } })], { create: true })
    await expect(wrongPolicy).rejects.toThrow('has cleanup.policy=compact, and it must be delete')
    await expect(wrongPolicy).rejects.toBeInstanceOf(FatalError)
    await expect(ensureTopics(client, [spec(name, { partitions: 2 })], { create: true })).rejects.toThrow('has 1 partitions, and it must have 2')
  })

  test('are asked for and not made: what the brokers would refuse is told, and what is there is no matter', async () => {
    const [there, missing] = [`t${randomUUID()}`, `t${randomUUID()}`]
    await ensureTopics(client, [spec(there)], { create: true })
    await checkNewTopics(client, [spec(there, { replicationFactor: 999 }), spec(missing)])
    const refused = checkNewTopics(client, [spec(missing, { replicationFactor: 999 })])
    await expect(refused).rejects.toThrow(/^asking for new topics: Replication-factor is invalid \(topic t[-0-9a-f]+\)\. Set buffer\.config\.replication_factor/)
    await expect(refused).rejects.toBeInstanceOf(FatalError)
    await expect(ensureTopics(client, [spec(missing)], { create: false })).rejects.toThrow(`do not exist: ${missing}`)
  })
})
