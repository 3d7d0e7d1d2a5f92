import { pino } from 'pino'
import { decodeDeadLetter } from '../../../src/buffers/kafka/dead-letter.ts'
import { createKafkaClient, type KafkaClient } from '../../../src/kafka/client.ts'
import { commitOffsets, describeGroup, type GroupOffset } from '../../../src/kafka/group-offsets.ts'
import { PartitionReader } from '../../../src/kafka/partition-reader.ts'
import type { DeadLetter } from '../../../src/pipeline/unit.ts'

/** What other programs and an administrator can do to a collector's topics, and what a test looks at. */
export interface Beside {
  readonly client: KafkaClient
  readonly prefix: string
  /** Records of the events topic as any program writes them. */
  produce(records: readonly { readonly partition: number; readonly key: Buffer | null; readonly value: Buffer | null }[]): Promise<void>
  /** Removes what lies before these offsets, as retention does. */
  deleteBefore(offsets: ReadonlyMap<number, number>): Promise<void>
  /** Where the events topic ends, by partition. */
  ends(): Promise<ReadonlyMap<number, number>>
  deadLetters(): Promise<DeadLetter[]>
  /** As the broker does with the offsets of a group that had no member for long. */
  forget(output: string): Promise<void>
  /** As kafka-consumer-groups.sh does: refused while the group has members, so it is tried until it has none. */
  resetOffsets(output: string, offsets: ReadonlyMap<number, GroupOffset>): Promise<void>
}

export function standBeside(brokers: readonly string[], prefix: string): Beside {
  const client = createKafkaClient({ brokers, ssl: false, sasl: null }, pino({ level: 'silent' }))
  const events = `${prefix}.events`
  const asAdmin = async <Result>(work: (admin: ReturnType<KafkaClient['admin']>) => Promise<Result>): Promise<Result> => {
    const admin = client.admin()
    await admin.connect()
    try {
      return await work(admin)
    } finally {
      await admin.disconnect()
    }
  }
  const withReader = async <Result>(topic: string, work: (reader: PartitionReader) => Promise<Result>): Promise<Result> => {
    const reader = new PartitionReader(client, topic)
    try {
      return await work(reader)
    } finally {
      await reader.close()
    }
  }
  return {
    client,
    prefix,
    async produce(records) {
      const producer = client.producer({})
      await producer.connect()
      try {
        await producer.send({ topic: events, acks: -1, messages: [...records] })
      } finally {
        await producer.disconnect()
      }
    },
    deleteBefore: (offsets) =>
      asAdmin(async (admin) => {
        await admin.fetchTopicMetadata({ topics: [events] }) // kafkajs does not ask by itself
        await admin.deleteTopicRecords({
          topic: events,
          partitions: [...offsets].map(([partition, offset]) => ({ partition, offset: String(offset) })),
        })
      }),
    ends: () => withReader(events, (reader) => reader.offsets('latest')),
    deadLetters: () =>
      withReader(`${prefix}.dead-letter`, async (reader) => {
        const end = (await reader.offsets('latest')).get(0) ?? 0
        const letters: DeadLetter[] = []
        for (let next = 0; next < end; ) {
          const limits = { maxBytes: 4_000_000, maxWaitMs: 500, minBytes: 1, signal: AbortSignal.timeout(20_000) }
          const [page] = await reader.fetch(new Map([[0, next]]), limits)
          for (const { value } of page?.records ?? []) letters.push(decodeDeadLetter(value ?? Buffer.alloc(0)))
          next = page?.nextOffset ?? end
        }
        return letters
      }),
    async forget(output) {
      await asAdmin((admin) => admin.deleteGroups([`${prefix}.${output}`]))
    },
    async resetOffsets(output, offsets) {
      const group = `${prefix}.${output}`
      for (;;) {
        const isEmpty = (await describeGroup(client, group)).members === 0
        if (isEmpty && (await commitOffsets(client, group, events, offsets).then(() => true, () => false))) return
      }
    },
  }
}
