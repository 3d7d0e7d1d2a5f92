import type { KafkaClient } from './client.ts'
import type { PooledBroker, PooledConnection } from './fetch-request.ts'
import type { Cluster } from './internals.ts'

/** The connections of a broker: one for everything, and one for fetches, which hold up what is behind them. */
export const REQUESTS = 0
export const FETCHES = 1
type Channel = typeof REQUESTS | typeof FETCHES

/** kafkajs's cluster with what its types here say nothing of. */
type PooledCluster = Cluster & {
  readonly brokerPool: {
    readonly seedBroker?: PooledBroker
    readonly brokers: Readonly<Record<string, PooledBroker>>
    connectionPoolBuilder: { build(): Promise<never> }
  }
}

/** A cluster's connections that can be ended at any time: kafkajs's own `disconnect` waits for every answer, a long poll's among them. */
export class ReaderConnection {
  /** Rejects where no broker is reached. */
  readonly opened: Promise<void>
  readonly #cluster: PooledCluster
  readonly #topic: string
  readonly #opening = new Map<string, Promise<unknown>>()
  #users = 0
  #retired = false
  #ended: Error | null = null

  constructor(client: KafkaClient, topic: string) {
    this.#cluster = client.cluster() as PooledCluster // the class that internals.ts names has these fields in the pinned version
    this.#topic = topic
    this.opened = this.#open()
    this.opened.catch(() => undefined) // told to whoever waits for it
  }

  /** One more user, until it calls back once, which says whether it was the last; a retired connection ends with that one. */
  enter(): () => boolean {
    this.#users += 1
    return () => {
      this.#users -= 1
      this.#endIfUnused()
      return this.#users === 0
    }
  }

  /** Nobody else may begin with it: the caller forgets it. */
  retire(): void {
    this.#retired = true
    this.#endIfUnused()
  }

  /** By leader; -1 those that have none now. */
  leaders(): ReadonlyMap<number, number> {
    return new Map(this.#cluster.findTopicPartitionMetadata(this.#topic).map(({ partitionId, leader }) => [partitionId, leader]))
  }

  refreshIfOld(): Promise<void> {
    return this.#unlessEnded(() => this.#cluster.refreshMetadataIfNecessary())
  }

  refresh(): Promise<void> {
    return this.#unlessEnded(() => this.#cluster.refreshMetadata())
  }

  /** With the connection open: two callers that find it closed would open it twice, and kafkajs loses the first of the two sockets. */
  async broker(nodeId: number, channel: Channel): Promise<PooledBroker> {
    const broker = (await this.#unlessEnded(() => this.#cluster.findBroker({ nodeId }))) as PooledBroker // as above
    if (broker.connectionPool.pool[channel]?.isConnected() === true) return broker
    const key = `${nodeId}/${channel}`
    let opening = this.#opening.get(key)
    if (opening === undefined) {
      opening = this.#unlessEnded(() => broker.connectionPool.getConnection(channel)).finally(() => this.#opening.delete(key))
      this.#opening.set(key, opening)
    }
    await opening
    return broker
  }

  /** At once: what is outstanding is rejected with `reason`, and nothing is opened any more. May be called again. */
  end(reason: Error): void {
    this.#retired = true
    this.#ended = reason
    const { brokerPool } = this.#cluster
    // A first connection is tried again and again by kafkajs, unless it is told that there is no use.
    brokerPool.connectionPoolBuilder = { build: () => Promise.reject(Object.assign(new Error(reason.message), { retriable: false })) }
    const brokers = [...Object.values(brokerPool.brokers), ...(brokerPool.seedBroker === undefined ? [] : [brokerPool.seedBroker])]
    for (const connection of brokers.flatMap((broker) => broker.connectionPool.pool)) endConnection(connection, reason)
  }

  async #open(): Promise<void> {
    try {
      await this.#unlessEnded(() => this.#cluster.connect())
      await this.#unlessEnded(() => this.#cluster.addTargetTopic(this.#topic))
    } catch (error) {
      this.retire()
      throw error
    }
  }

  #endIfUnused(): void {
    if (this.#retired && this.#users === 0) this.end(new Error('the connection is no longer used'))
  }

  /** What opens connections may have been under way when the end came. */
  async #unlessEnded<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#ended !== null) throw this.#ended
    try {
      return await work()
    } finally {
      this.#endAgain()
    }
  }

  #endAgain(): void {
    if (this.#ended !== null) this.end(this.#ended)
  }
}

function endConnection(connection: PooledConnection, reason: Error): void {
  connection.requestQueue.rejectAll(reason)
  void connection.disconnect().catch(() => undefined)
  connection.socket?.destroy(reason)
}
