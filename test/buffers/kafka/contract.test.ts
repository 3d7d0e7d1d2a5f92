import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { afterAll, beforeAll, describe } from 'vitest'
import { openKafkaBuffer } from '../../../src/buffers/kafka/kafka.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { bufferContract } from '../../contract/buffer-suite.ts'
import { hasBroker, startBroker, type TestBroker } from '../../support/kafka-broker.ts'

const log = pino({ level: process.env.KAFKA_LOG ?? 'silent' })

describe.skipIf(!hasBroker() && process.env.CI === undefined)('against a real broker', () => {
  let broker: TestBroker | null = null
  let brokers: string[] = process.env.KAFKA_BROKERS?.split(',') ?? []

  beforeAll(async () => {
    if (brokers.length > 0) return
    broker = await startBroker()
    brokers = broker.brokers
  })

  afterAll(async () => {
    await broker?.dispose()
  })

  for (const compression of ['none', 'gzip'] as const) {
    bufferContract(`the Kafka buffer (compression ${compression})`, async () => {
      const prefix = `t${randomUUID()}`
      return {
        backlog: 'upper-bound' as const,
        open: () =>
          openKafkaBuffer({
            connection: { brokers, ssl: false, sasl: null },
            prefix,
            partitions: 1,
            replicationFactor: null,
            retentionMs: 3_600_000,
            compression,
            createTopics: true,
            clock: systemClock,
            log,
          }),
        cleanup: async () => undefined,
      }
    })
  }
})
