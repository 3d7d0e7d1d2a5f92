import { randomUUID } from 'node:crypto'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { openBuffer, openQuotaLog } from '../../src/commands/buffer.ts'
import type { CollectorConfig, KafkaBufferConfig } from '../../src/config/types.ts'
import { systemClock } from '../../src/pipeline/clock.ts'
import { FatalError } from '../../src/pipeline/errors.ts'
import { silent, temporaryFolder } from '../pipeline/support.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { clientOf } from '../kafka/partition-reader-support.ts'
import { collectorConfig } from './support.ts'

describeKafka('the quota log of `validate --connect` at the brokers', () => {
  let brokers: readonly string[]
  beforeAll(async () => {
    brokers = await sharedBroker()
  })

  async function configOf(buffer: Partial<KafkaBufferConfig> = {}): Promise<CollectorConfig> {
    return collectorConfig({
      stateDir: await temporaryFolder(),
      buffer: {
        type: 'kafka',
        brokers,
        topicPrefix: `q${randomUUID()}`,
        ssl: false,
        sasl: null,
        partitions: 1,
        replicationFactor: null,
        retentionMs: 3_600_000,
        compression: 'none',
        createTopics: true,
        ...buffer,
      },
    })
  }

  async function topicsOf({ buffer }: CollectorConfig): Promise<string[]> {
    if (buffer.type !== 'kafka') throw new Error('not at brokers')
    const admin = clientOf(buffer.brokers).admin()
    await admin.connect()
    try {
      return (await admin.listTopics()).filter((topic) => topic.startsWith(buffer.topicPrefix)).sort()
    } finally {
      await admin.disconnect()
    }
  }

  test('before a first start nothing is made, and what is asked counts at the API alone', async () => {
    const config = await configOf()
    const log = await openQuotaLog(config, silent)
    expect([await log.load('pool'), await log.count('pool', 5, 0), await log.load('pool')]).toEqual([[], true, []])
    await log.close()
    expect(await topicsOf(config)).toEqual([])
  })

  test('what would keep a first start from making its topics is told', async () => {
    const config = await configOf({ replicationFactor: 999 })
    await expect(openQuotaLog(config, silent)).rejects.toThrow(FatalError)
    await expect(openQuotaLog(config, silent)).rejects.toThrow(/replication/i)
    expect(await topicsOf(config)).toEqual([])
  })

  test('with create_topics: false they must be there', async () => {
    await expect(openQuotaLog(await configOf({ createTopics: false }), silent)).rejects.toThrow('do not exist')
  })

  test('beside a collector it is the log that the collector has', async () => {
    const config = await configOf()
    const buffer = await openBuffer(config, { clock: systemClock, log: silent })
    onTestFinished(() => buffer.close())
    const log = await openQuotaLog(config, silent)
    onTestFinished(() => log.close())
    await buffer.count('pool', 5, 0)
    await log.count('pool', 5, 0)
    expect(await buffer.load('pool')).toEqual([[5, 2]])
  })
})
