import type { Clock } from '../pipeline/clock.ts'
import { RetryableError } from '../pipeline/errors.ts'
import type { KafkaClient } from './client.ts'
import { cutConnections } from './cut.ts'
import { FETCHES, type Broker, type Channel, type Cluster } from './internals.ts'

/** kafkajs itself tries a broker that accepts connections and says nothing for some minutes. */
const OPEN_MS = 60_000

/** A cluster's connections, which can be ended at any time. */
export class ReaderConnection {
  /** Rejects where no broker is reached. */
  readonly opened: Promise<void>
  readonly #cluster: Cluster
  readonly #topic: string
  readonly #opening = new Map<string, Promise<unknown>>()
  readonly #users = new Set<(reason: Error) => void>()
  #retired = false
  #ended: Error | null = null

  constructor(client: KafkaClient, topic: string, clock: Clock) {
    this.#cluster = client.cluster()
    this.#topic = topic
    this.opened = this.#open(clock)
    this.opened.catch(() => undefined) // told to whoever waits for it
  }

  /**
   * One more user, who is told of the end by `onEnd`: kafkajs leaves some calls without an answer when its sockets go. The user owes a call
   * of what this gives; a retired connection ends with its last user.
   */
  enter(onEnd: (reason: Error) => void): () => void {
    this.#users.add(onEnd)
    return () => {
      this.#users.delete(onEnd)
      this.#endIfUnused()
    }
  }

  get isUsed(): boolean {
    return this.#users.size > 0
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
  async broker(nodeId: number, channel: Channel): Promise<Broker> {
    const known = this.#cluster.brokerPool.brokers[nodeId]
    // Every fetch comes by here.
    if (channel === FETCHES && this.#ended === null && known?.connectionPool.pool.at(FETCHES)?.isConnected() === true) return known
    const broker = await this.#unlessEnded(() => this.#cluster.findBroker({ nodeId }))
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
    cutConnections(this.#cluster, reason)
    for (const tell of this.#users) tell(reason)
  }

  async #open(clock: Clock): Promise<void> {
    const cancel = clock.after(OPEN_MS, () => this.end(new RetryableError('no broker has answered for a minute', { code: 'KafkaUnavailable' })))
    try {
      await this.#unlessEnded(() => this.#cluster.connect())
      await this.#unlessEnded(() => this.#cluster.addTargetTopic(this.#topic))
    } catch (error) {
      this.retire()
      throw error
    } finally {
      cancel()
    }
  }

  #endIfUnused(): void {
    if (this.#retired && !this.isUsed) this.end(new Error('the connection is no longer used'))
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
