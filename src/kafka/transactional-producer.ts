import kafkajs from 'kafkajs'
import type { CompressionTypes, Producer, ProducerBatch, Transaction } from 'kafkajs'
import type { KafkaClient } from './client.ts'
import { explainKafkaError } from './errors.ts'

/** Records for one partition; it is always named, for a retry of kafkajs would choose anew. */
export interface TopicRecords {
  readonly topic: string
  readonly partition: number
  readonly records: readonly { readonly key: Buffer; readonly value: Buffer | null; readonly timestamp?: number }[]
}

export interface TransactionalProducerOptions {
  readonly compression: 'gzip' | 'none'
  /** The broker aborts a transaction that is open for longer; an open one holds up every read_committed reader. */
  readonly transactionTimeoutMs?: number
}

/** kafkajs makes one record batch of all records of a partition in a send, and a topic's max.message.bytes is 1 MiB unless set. */
const BATCH_BYTES = 900 * 1024
/** Length, offsets and times of a record. */
const RECORD_OVERHEAD_BYTES = 24

/**
 * One transactional id, one transaction at a time, and within it one send at a time (kafkajs can lose records of sends that overlap).
 * After any error it is dead: whether the transaction was committed is unknown (kafkajs is stuck after a failed commit, its issues 1275
 * and 1416). The owner closes it, makes a new one, whose first transaction fences this one, and reads what is true.
 */
export class TransactionalProducer {
  readonly #producer: Producer
  readonly #compression: CompressionTypes
  readonly #id: string
  #connected: Promise<void> | null = null
  #dead = false

  constructor(client: KafkaClient, transactionalId: string, { compression, transactionTimeoutMs = 30_000 }: TransactionalProducerOptions) {
    this.#id = transactionalId
    this.#compression = compression === 'gzip' ? kafkajs.CompressionTypes.GZIP : kafkajs.CompressionTypes.None
    this.#producer = client.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, transactionTimeout: transactionTimeoutMs })
  }

  /**
   * All records in one transaction; the first one fences every other producer of this id. Gives the last offset of each partition, by
   * `topic/partition`. Throws FencedError, RetryableError (the outcome is unknown) or FatalError.
   */
  async commit(batches: readonly TopicRecords[]): Promise<ReadonlyMap<string, number>> {
    if (this.#dead) throw new Error(`the producer ${this.#id} has failed before; a new one must be made`)
    const offsets = new Map<string, number>()
    let transaction: Transaction | null = null
    try {
      this.#connected ??= this.#producer.connect()
      await this.#connected
      transaction = await this.#producer.transaction()
      for (const send of sendsOf(batches)) {
        for (const { topicName, partition, baseOffset } of await transaction.sendBatch({ acks: -1, compression: this.#compression, topicMessages: send })) {
          const count = send.find(({ topic }) => topic === topicName)?.messages.filter((message) => message.partition === partition).length ?? 0
          offsets.set(`${topicName}/${partition}`, Number(baseOffset) + count - 1)
        }
      }
      await transaction.commit()
      return offsets
    } catch (error) {
      this.#dead = true
      // A commit may have arrived all the same; then the broker refuses this, and the restore sees it.
      if (transaction?.isActive() === true) await transaction.abort().catch(() => undefined)
      throw explainKafkaError(error, `writing a transaction as ${this.#id}`)
    }
  }

  async close(): Promise<void> {
    this.#dead = true
    await this.#producer.disconnect().catch(() => undefined)
  }
}

/** Sends in which no partition has more than one batch's bytes. */
function* sendsOf(batches: readonly TopicRecords[]): Generator<NonNullable<ProducerBatch['topicMessages']>> {
  const queues = batches.map(({ topic, partition, records }) => ({ topic, partition, records, next: 0 }))
  while (queues.some(({ records, next }) => next < records.length)) {
    const byTopic = new Map<string, { key: Buffer; value: Buffer | null; partition: number; timestamp?: string }[]>()
    for (const queue of queues) {
      const messages = byTopic.get(queue.topic) ?? []
      let bytes = 0
      for (let record = queue.records[queue.next]; record !== undefined; record = queue.records[queue.next]) {
        bytes += record.key.length + (record.value?.length ?? 0) + RECORD_OVERHEAD_BYTES
        const isFirst = bytes === record.key.length + (record.value?.length ?? 0) + RECORD_OVERHEAD_BYTES
        if (!isFirst && bytes > BATCH_BYTES) break
        const { key, value, timestamp } = record
        messages.push({ key, value, partition: queue.partition, ...(timestamp !== undefined && { timestamp: String(timestamp) }) })
        queue.next += 1
      }
      if (messages.length > 0) byTopic.set(queue.topic, messages)
    }
    yield [...byTopic].map(([topic, messages]) => ({ topic, messages }))
  }
}
