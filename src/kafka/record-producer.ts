import type { Producer } from 'kafkajs'
import type { KafkaClient } from './client.ts'
import { explainKafkaError } from './errors.ts'
import { partitionsOf, sendsOf } from './send-plan.ts'
import type { TopicRecords } from './transactional-producer.ts'

/** Writes outside any transaction, each send acknowledged by all replicas, and in parts where it is large. One send at a time. */
export class RecordProducer {
  readonly #client: KafkaClient
  #producer: Producer | null = null
  #tail: Promise<unknown> = Promise.resolve()

  constructor(client: KafkaClient) {
    this.#client = client
  }

  /** Durable once resolved. Throws RetryableError (it may have been written all the same) or FatalError. */
  send(batches: readonly TopicRecords[]): Promise<void> {
    const next = this.#tail.then(() => this.#send(batches))
    this.#tail = next.catch(() => undefined)
    return next
  }

  async close(): Promise<void> {
    await this.#tail
    await this.#producer?.disconnect().catch(() => undefined)
    this.#producer = null
  }

  async #send(batches: readonly TopicRecords[]): Promise<void> {
    try {
      if (this.#producer === null) {
        const producer = this.#client.producer({ maxInFlightRequests: 1 })
        try {
          await producer.connect()
        } catch (error) {
          await producer.disconnect().catch(() => undefined)
          throw error
        }
        this.#producer = producer
      }
      for (const part of sendsOf(partitionsOf(batches))) await this.#producer.sendBatch({ acks: -1, topicMessages: part.map(messagesOf) })
    } catch (error) {
      throw explainKafkaError(error, `writing to ${batches.map(({ topic }) => topic).join(', ')}`)
    }
  }
}

function messagesOf({ topic, partition, records }: TopicRecords) {
  const messages = records.map(({ key, value, timestamp }) => ({ key, value, partition, ...(timestamp !== undefined && { timestamp: String(timestamp) }) }))
  return { topic, messages }
}
