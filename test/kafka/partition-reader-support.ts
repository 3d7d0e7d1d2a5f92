import { randomUUID } from 'node:crypto'
import { CompressionTypes } from 'kafkajs'
import { pino } from 'pino'
import { beforeAll } from 'vitest'
import { createKafkaClient, type KafkaClient } from '../../src/kafka/client.ts'
import { PartitionReader, type FetchedPartition, type FetchedRecord } from '../../src/kafka/partition-reader.ts'
import { ensureTopics } from '../../src/kafka/topics.ts'
import { sharedBroker } from '../support/kafka.ts'

export const never = new AbortController().signal
/** All that is there, at once. */
export const now = { maxBytes: 1024 * 1024, maxWaitMs: 0, minBytes: 0, signal: never }

export function clientOf(brokers: readonly string[]): KafkaClient {
  return createKafkaClient({ brokers, ssl: false, sasl: null }, pino({ level: 'silent' }))
}

/** Of the run's broker. */
export function useClient(): () => KafkaClient {
  let client: KafkaClient | null = null
  beforeAll(async () => {
    client = clientOf(await sharedBroker())
  })
  return () => {
    if (client === null) throw new Error('asked for before the tests began')
    return client
  }
}

export async function makeTopic(client: KafkaClient, partitions = 1, config: Readonly<Record<string, string>> = {}): Promise<string> {
  const topic = `reader-${randomUUID()}`
  await ensureTopics(client, [{ name: topic, partitions, replicationFactor: null, config, mustMatch: [] }], { create: true })
  // A leader that does not know yet that it is one refuses a record; kafkajs then writes those of its other partitions twice.
  const reader = new PartitionReader(client, topic)
  await reader.offsets('latest').finally(() => reader.close())
  return topic
}

/** One batch in each partition named. */
export interface Written {
  readonly value: string | Buffer | null
  readonly key?: string
  readonly partition?: number
  readonly timestamp?: string
  readonly headers?: Record<string, string>
}

export async function write(
  client: KafkaClient,
  topic: string,
  messages: readonly Written[],
  { compression = CompressionTypes.None, idempotent = false } = {},
): Promise<void> {
  const producer = client.producer({ idempotent })
  await producer.connect()
  try {
    await producer.send({ topic, acks: -1, compression, messages: messages.map((message) => ({ partition: 0, key: null, ...message })) })
  } finally {
    await producer.disconnect()
  }
}

/** Reads one partition on until `end`, and asserts that every answer brings it further. */
export async function readTo(
  reader: PartitionReader,
  end: number,
  { from = 0, partition = 0, ...limits }: { from?: number; partition?: number; maxBytes?: number } = {},
): Promise<{ records: FetchedRecord[]; pages: FetchedPartition[] }> {
  const pages: FetchedPartition[] = []
  for (let next = from; next < end; ) {
    const [page] = await reader.fetch(new Map([[partition, next]]), { ...now, maxWaitMs: 10_000, minBytes: 1, ...limits })
    if (page === undefined || page.nextOffset <= next) throw new Error(`no way on from offset ${next} to ${end}`)
    pages.push(page)
    next = page.nextOffset
  }
  return { records: pages.flatMap(({ records }) => records), pages }
}

export function values(records: readonly FetchedRecord[]): string[] {
  return records.map(({ value }) => value?.toString() ?? 'null')
}
