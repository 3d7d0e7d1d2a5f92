import kafkajs from 'kafkajs'
import type { PartitionMetadata as KafkajsPartition } from 'kafkajs'
import type { Clock } from '../pipeline/clock.ts'
import type { KafkaClient } from './client.ts'
import { cutConnections, GivenUpError } from './cut.ts'
import { protocolError, type Cluster, type PartitionMetadata } from './internals.ts'
import { produceTo } from './produce-request.ts'
import { encodeBatch, releaseBatch, type Compression } from './record-batch.ts'

export interface TopicProducerOptions {
  readonly topic: string
  readonly compression: Compression
  readonly clock: Clock
}

const UNKNOWN_TOPIC = 3

/** Connections of one time, until the first error. */
interface Session {
  readonly cluster: Promise<Cluster>
  /** Rejects when they are cut: kafkajs leaves some calls without an answer when its sockets go. */
  readonly cut: Promise<never>
  end(reason: Error): void
}

/**
 * Writes to a topic that is somebody else's, outside of transactions, each send acknowledged by all replicas in sync. One send at a time. It
 * tries nothing again: after an error whoever sends does, over new connections. Errors are kafkajs's, for `explainKafkaError`.
 */
export class TopicProducer {
  readonly #makeClient: () => Promise<KafkaClient>
  readonly #options: TopicProducerOptions
  readonly #partitioner = kafkajs.Partitioners.DefaultPartitioner()
  #session: Session | null = null
  #isClosed = false

  /** Opens nothing by itself. A client is made for each new connection. */
  constructor(makeClient: () => Promise<KafkaClient>, options: TopicProducerOptions) {
    this.#makeClient = makeClient
    this.#options = options
  }

  /** Finds the topic and its partitions, and writes nothing. */
  async look(): Promise<void> {
    await this.#withCluster((cluster) => this.#partitionsOf(cluster))
  }

  /** One record for each value, in their order, in the partition of the key (as Java's clients choose it). */
  async send(key: Buffer, values: readonly Buffer[]): Promise<void> {
    const { topic, compression, clock } = this.#options
    await this.#withCluster(async (cluster) => {
      const metadata = await this.#partitionsOf(cluster)
      const partitionMetadata = metadata as KafkajsPartition[] // with a key, of which it asks for their number and ids alone
      const partition = this.#partitioner({ topic, partitionMetadata, message: { key, value: null } })
      const leader = metadata.find(({ partitionId }) => partitionId === partition)?.leader ?? -1
      const broker = await cluster.findBroker({ nodeId: leader })
      const batch = await encodeBatch(values.map((value) => ({ key, value })), null, compression, clock.now())
      await produceTo(broker, null, [{ topic, partition, batch }])
      // What was answered has been sent.
      releaseBatch(batch)
    })
  }

  /** At once: what is under way fails. May be called again. */
  close(): void {
    this.#isClosed = true
    this.giveUp(closedError())
  }

  /** At once: what is under way fails with the reason; the next call connects anew. */
  giveUp(reason: Error): void {
    this.#session?.end(reason)
    this.#session = null
  }

  async #partitionsOf(cluster: Cluster): Promise<readonly PartitionMetadata[]> {
    const { topic } = this.#options
    await cluster.addTargetTopic(topic)
    await cluster.refreshMetadataIfNecessary()
    const metadata = cluster.findTopicPartitionMetadata(topic)
    if (metadata.length === 0) throw protocolError(UNKNOWN_TOPIC)
    return metadata
  }

  async #withCluster<Result>(work: (cluster: Cluster) => Promise<Result>): Promise<Result> {
    if (this.#isClosed) throw closedError()
    const session = (this.#session ??= this.#connect())
    try {
      return await Promise.race([session.cluster.then(work), session.cut])
    } catch (error) {
      session.end(closedError())
      if (this.#session === session) this.#session = null
      throw error
    }
  }

  #connect(): Session {
    const cut = Promise.withResolvers<never>()
    cut.promise.catch(() => undefined)
    const ending = new AbortController()
    const { signal } = ending
    const open = async (): Promise<Cluster> => {
      const client = await this.#makeClient()
      signal.throwIfAborted()
      const opened = client.cluster()
      const end = (): void => cutConnections(opened, closedError())
      signal.addEventListener('abort', end, { once: true })
      try {
        await opened.connect()
      } finally {
        // A connection that was being made when all were cut is there only now.
        if (signal.aborted) end()
      }
      return opened
    }
    const cluster = open()
    cluster.catch(() => undefined)
    return {
      cluster,
      cut: cut.promise,
      end(reason) {
        ending.abort(reason)
        cut.reject(reason)
      },
    }
  }
}

function closedError(): Error {
  return new GivenUpError('the connections to the brokers were closed', { code: 'KafkaUnavailable' })
}
