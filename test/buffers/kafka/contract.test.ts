import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { beforeAll } from 'vitest'
import { openKafkaBuffer } from '../../../src/buffers/kafka/kafka.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { bufferContract } from '../../contract/buffer-suite.ts'
import { describeKafka, sharedBroker } from '../../support/kafka.ts'

const log = pino({ level: process.env.KAFKA_LOG ?? 'silent' })

describeKafka('against a real broker', () => {
  let brokers: readonly string[] = []

  beforeAll(async () => {
    brokers = await sharedBroker()
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
