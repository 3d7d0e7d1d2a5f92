import type { KafkaClient } from './client.ts'
import { cutConnections, GivenUpError } from './cut.ts'
import { explainKafkaError, GroupLostError } from './errors.ts'
import type { Broker, Cluster } from './internals.ts'

interface Link {
  readonly cluster: Cluster
  readonly coordinator: Promise<Broker>
  /** Once found. */
  broker: Broker | null
  /** How to end the calls that run over it. */
  readonly running: Set<(error: Error) => void>
}

/** Connections to the broker that coordinates a group; whatever goes wrong with them, the next call looks for it anew. */
export class GroupConnection {
  readonly #client: KafkaClient
  readonly #groupId: string
  readonly #topic: string
  #link: Link | null = null

  constructor(client: KafkaClient, groupId: string, topic: string) {
    this.#client = client
    this.#groupId = groupId
    this.#topic = topic
  }

  /** Throws kafkajs's errors as they are, or GivenUpError after `abandon`. */
  async run<Result>(work: (coordinator: Broker, cluster: Cluster) => Promise<Result>): Promise<Result> {
    const link = this.#openLink()
    const { promise, resolve, reject } = Promise.withResolvers<Result>()
    link.running.add(reject)
    link.coordinator.then((coordinator) => work(coordinator, link.cluster)).then(resolve, reject)
    try {
      return await promise
    } catch (error) {
      // The group's own answers come over good connections.
      if (!(explainKafkaError(error, '') instanceof GroupLostError)) this.#giveUp(link)
      throw error
    } finally {
      link.running.delete(reject)
    }
  }

  /** Ends all calls at once and closes the connections; a later `run` opens new ones. */
  abandon(): void {
    if (this.#link !== null) this.#giveUp(this.#link)
  }

  /** kafkajs would open a closed connection again by itself, and two when two calls need it, of which it forgets one. */
  #openLink(): Link {
    if (this.#link?.broker?.isConnected() === false) this.#giveUp(this.#link)
    this.#link ??= this.#open()
    return this.#link
  }

  #open(): Link {
    const cluster = this.#client.cluster()
    const coordinator = this.#findCoordinator(cluster)
    const link: Link = { cluster, coordinator, broker: null, running: new Set() }
    coordinator.then(
      (broker) => {
        link.broker = broker
      },
      () => undefined, // told to whoever waits for it
    )
    return link
  }

  async #findCoordinator(cluster: Cluster): Promise<Broker> {
    try {
      await cluster.connect()
      await cluster.addTargetTopic(this.#topic)
      return await cluster.findGroupCoordinator({ groupId: this.#groupId })
    } catch (error) {
      // Also what was being opened when it was given up.
      this.#cut(cluster)
      throw error
    }
  }

  #giveUp(link: Link): void {
    if (this.#link === link) this.#link = null
    const reason = this.#cut(link.cluster)
    for (const end of link.running) end(reason)
  }

  #cut(cluster: Cluster): GivenUpError {
    const reason = new GivenUpError(`the connection to the coordinator of ${this.#groupId} was closed`, { code: 'KafkaUnavailable' })
    cutConnections(cluster, reason)
    return reason
  }
}
