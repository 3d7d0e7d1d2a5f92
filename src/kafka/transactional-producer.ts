import { Backoff } from '../pipeline/backoff.ts'
import { systemClock, type Clock } from '../pipeline/clock.ts'
import type { KafkaClient } from './client.ts'
import { errorTypes, explainKafkaError } from './errors.ts'
import { TRANSACTION_COORDINATOR, type Broker, type Cluster } from './internals.ts'
import { produceTo, type EncodedPartition, type ProducedPartition } from './produce-request.ts'
import { encodeBatch, releaseBatch, type BatchRecord, type Compression } from './record-batch.ts'
import { partitionsOf, sendsOf, type PartitionRecords } from './send-plan.ts'

/** Records for one partition, in their order. */
export interface TopicRecords {
  readonly topic: string
  readonly partition: number
  readonly records: readonly BatchRecord[]
}

export interface TransactionalProducerOptions {
  readonly compression: Compression
  /** The broker aborts a transaction that is open for longer; an open one holds up every read_committed reader. */
  readonly transactionTimeoutMs?: number
  readonly clock?: Clock
}

/** As the coordinator gave it: a higher epoch of the same id fences this one. */
interface Session {
  readonly cluster: Cluster
  readonly producerId: string
  readonly producerEpoch: number
  readonly coordinatorId: number | string
}

/** What one send holds for one partition. */
interface Encoded extends EncodedPartition {
  readonly count: number
}

/** The transaction before is not quite at its end, or the coordinator is still reading its log: nothing has been done, and it takes moments. */
const NOT_YET: readonly string[] = ['CONCURRENT_TRANSACTIONS', 'GROUP_LOAD_IN_PROGRESS']
/** The coordinator is another broker; no help where it is not looked for again. */
const MOVING: readonly string[] = ['GROUP_COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR_FOR_GROUP']
/** Some 15 s. */
const TRIES = 40
const FIRST_WAIT_MS = 4
const MAX_WAIT_MS = 500
const SEQUENCES = 2 ** 31

/**
 * One transactional id, one transaction at a time, and within it one request a broker at a time. kafkajs's own producer is not used: it
 * retries inside what it sends, is stuck after a failed commit (its issues 1275 and 1416), and takes three times the CPU.
 * Nothing that may have been written is sent again. After any error the producer is dead: whether the transaction was committed is unknown.
 * The owner makes a new one, whose first transaction fences this one and settles what it left, and reads what is true.
 */
export class TransactionalProducer {
  readonly #client: KafkaClient
  readonly #id: string
  readonly #options: Required<TransactionalProducerOptions>
  readonly #sequences = new Map<string, number>()
  #cluster: Cluster | null = null
  #session: Session | null = null
  #busy = false
  #dead = false

  /** Opens nothing by itself. */
  constructor(client: KafkaClient, transactionalId: string, options: TransactionalProducerOptions) {
    this.#client = client
    this.#id = transactionalId
    this.#options = { transactionTimeoutMs: 30_000, clock: systemClock, ...options }
  }

  get dead(): boolean {
    return this.#dead
  }

  /**
   * All records in one transaction; the first one fences every other producer of this id. Gives the last offset of each partition, by
   * `topic/partition`. Throws FencedError, RetryableError (the outcome is unknown) or FatalError.
   */
  async commit(batches: readonly TopicRecords[]): Promise<ReadonlyMap<string, number>> {
    if (this.#dead) throw new Error(`the producer ${this.#id} has failed before; a new one must be made`)
    if (this.#busy) throw new Error(`the producer ${this.#id} has a transaction under way`)
    this.#busy = true
    try {
      this.#session ??= await this.#open()
      return await this.#transact(this.#session, partitionsOf(batches))
    } catch (error) {
      await this.close()
      throw explainKafkaError(error, `writing a transaction as ${this.#id}`)
    } finally {
      this.#busy = false
    }
  }

  /** May be called again. A transaction that is under way ends with an error. */
  async close(): Promise<void> {
    this.#dead = true
    const cluster = this.#cluster
    this.#cluster = null
    await cluster?.disconnect().catch(() => undefined)
  }

  async #open(): Promise<Session> {
    const cluster = this.#client.cluster()
    this.#cluster = cluster
    await cluster.connect()
    return await this.#patiently([...NOT_YET, ...MOVING], async () => {
      const coordinator = await cluster.findGroupCoordinator({ groupId: this.#id, coordinatorType: TRANSACTION_COORDINATOR })
      const request = { transactionalId: this.#id, transactionTimeout: this.#options.transactionTimeoutMs }
      const { producerId, producerEpoch } = await coordinator.initProducerId(request)
      return { cluster, producerId, producerEpoch, coordinatorId: coordinator.nodeId }
    })
  }

  async #transact(session: Session, partitions: readonly PartitionRecords[]): Promise<ReadonlyMap<string, number>> {
    const offsets = new Map<string, number>()
    if (partitions.length === 0) return offsets
    const { cluster } = session
    const byTopic = Map.groupBy(partitions, ({ topic }) => topic)
    await cluster.addMultipleTargetTopics([...byTopic.keys()])
    await cluster.refreshMetadataIfNecessary()
    // Connects again where the broker has closed an idle connection.
    const coordinator = await cluster.findBroker({ nodeId: session.coordinatorId })
    const transaction = { transactionalId: this.#id, producerId: session.producerId, producerEpoch: session.producerEpoch }
    const topics = [...byTopic].map(([topic, entries]) => ({ topic, partitions: entries.map(({ partition }) => partition) }))
    const sends = [...sendsOf(partitions)]
    // While the coordinator is busy with the end of the transaction before, and later while the broker writes.
    let next = this.#encode(session, sends[0] ?? [])
    await this.#patiently(NOT_YET, () => coordinator.addPartitionsToTxn({ ...transaction, topics }))
    try {
      for (let index = 0; index < sends.length; index += 1) {
        const encoded = await next
        next = this.#encode(session, sends[index + 1] ?? [])
        for (const { topic, partition, lastOffset } of await this.#send(session, encoded)) offsets.set(`${topic}/${partition}`, lastOffset)
      }
    } catch (error) {
      // Readers wait for the end of an open transaction. Without a connection the next producer's first request ends it, or its time-out.
      if (isAnswer(error) && coordinator.isConnected()) await coordinator.endTxn({ ...transaction, transactionResult: false }).catch(() => undefined)
      throw error
    }
    await coordinator.endTxn({ ...transaction, transactionResult: true })
    return offsets
  }

  /** Nobody may wait for it yet when it fails. */
  #encode({ producerId, producerEpoch }: Session, send: readonly PartitionRecords[]): Promise<Encoded[]> {
    const now = this.#options.clock.now()
    const encoding = Promise.all(
      send.map(async ({ topic, partition, records }) => {
        const key = `${topic}/${partition}`
        const firstSequence = this.#sequences.get(key) ?? 0
        this.#sequences.set(key, (firstSequence + records.length) % SEQUENCES)
        const sequence = { producerId: BigInt(producerId), producerEpoch, firstSequence }
        return { topic, partition, batch: await encodeBatch(records, sequence, this.#options.compression, now), count: records.length }
      }),
    )
    encoding.catch(() => undefined)
    return encoding
  }

  async #send({ cluster }: Session, encoded: readonly Encoded[]): Promise<(ProducedPartition & { readonly lastOffset: number })[]> {
    // An abort must not overtake what is still on its way to another broker.
    const answers = await Promise.allSettled(
      [...Map.groupBy(encoded, ({ topic, partition }) => leaderOf(cluster, topic, partition))].map(async ([leader, entries]) => {
        const broker: Broker = await cluster.findBroker({ nodeId: leader })
        return await produceTo(broker, this.#id, entries)
      }),
    )
    const failed = answers.find((answer) => answer.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    // What was answered has been sent.
    for (const { batch } of encoded) releaseBatch(batch)
    const produced = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    return produced.map((answer) => {
      const count = encoded.find(({ topic, partition }) => topic === answer.topic && partition === answer.partition)?.count ?? 0
      return { ...answer, lastOffset: answer.baseOffset + count - 1 }
    })
  }

  async #patiently<Result>(passing: readonly string[], work: () => Promise<Result>): Promise<Result> {
    const backoff = new Backoff(FIRST_WAIT_MS, MAX_WAIT_MS)
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (this.#dead || backoff.failures >= TRIES || !errorTypes(error).some((type) => passing.includes(type))) throw error
        await this.#options.clock.sleep(backoff.next())
      }
    }
  }
}

/** Throws the error of a topic that the broker does not know, or that has no leader now. */
function leaderOf(cluster: Cluster, topic: string, partition: number): number {
  const metadata = cluster.findTopicPartitionMetadata(topic).find(({ partitionId }) => partitionId === partition)
  if (metadata === undefined) throw new Error(`the topic ${topic} has no partition ${partition}`)
  return metadata.leader
}

/** False for what happened to a connection: the other side may not be there to ask. */
function isAnswer(error: unknown): boolean {
  return !errorTypes(error).some((type) => type.includes('Connection') || type.includes('Timeout'))
}
