import { RetryableError } from '../pipeline/errors.ts'
import type { Broker, Cluster } from './internals.ts'

type JoinRequest = Parameters<Broker['joinGroup']>[0]
type JoinResponse = Awaited<ReturnType<Broker['joinGroup']>>

/** The connections were closed under a request, by us. */
export class GivenUpError extends RetryableError {
  override readonly name = 'GivenUpError'
  /** Read by kafkajs's own retries, which end here. */
  readonly retriable = false
}

interface Lookup {
  lookupRequest: (apiKey: number, versions: unknown) => (request: JoinRequest) => unknown
}

/**
 * Joins, and tells the member's id as soon as the broker has given it, which is long before the answer: the broker answers when all other
 * members have joined again, and who no longer wants to wait must leave by that id or the group waits for it.
 */
export function joinGroup(broker: Broker, request: JoinRequest, onMemberId: (memberId: string) => void): Promise<JoinResponse> {
  // kafkajs keeps the id to itself: it asks once without, is given one, and asks again. Each time it looks up how the request is written.
  const { lookupRequest } = broker as Broker & Lookup // a public member that our Broker leaves out
  const listening = Object.create(broker) as Broker & Lookup // the same object, but for one member
  listening.lookupRequest = (apiKey, versions) => {
    const write = lookupRequest(apiKey, versions)
    return (sent) => {
      if (sent.memberId !== '') onMemberId(sent.memberId)
      return write(sent)
    }
  }
  return listening.joinGroup(request)
}

/** Over the connection that takes everything but fetches. */
export function isConnected(broker: Broker): boolean {
  return (broker as Broker & { isConnected(): boolean }).isConnected() // a public method that our Broker leaves out
}

interface Connection {
  connect(): Promise<never>
  readonly socket?: { destroy(error: Error): unknown }
}

interface Pools {
  readonly brokerPool: {
    readonly seedBroker?: { readonly connectionPool: { readonly pool: readonly Connection[] } }
    readonly brokers: Readonly<Record<string, { readonly connectionPool: { readonly pool: readonly Connection[] } }>>
    connectionPoolBuilder: { build(): Promise<never> }
  }
}

/**
 * Closes all connections of a cluster at once and lets it make no new ones. kafkajs's own `disconnect` waits for the answers that are
 * outstanding, which take a minute for a join and 30 s from a broker that hangs.
 */
export function abandon(cluster: Cluster): void {
  const { brokerPool } = cluster as Cluster & Pools // what a Cluster of 2.2.4 is made of
  const error = new GivenUpError('the connections to the brokers were closed')
  const refuse = (): Promise<never> => Promise.reject(error)
  brokerPool.connectionPoolBuilder = { build: refuse }
  const brokers = [...Object.values(brokerPool.brokers), ...(brokerPool.seedBroker === undefined ? [] : [brokerPool.seedBroker])]
  for (const connection of new Set(brokers.flatMap(({ connectionPool }) => connectionPool.pool))) {
    connection.connect = refuse
    // With an error, for only that makes kafkajs reject what waits for an answer.
    connection.socket?.destroy(error)
  }
}
