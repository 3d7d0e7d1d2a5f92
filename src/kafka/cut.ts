import { RetryableError } from '../pipeline/errors.ts'
import type { Cluster } from './internals.ts'

/** The connections were closed under a request, by us. */
export class GivenUpError extends RetryableError {
  override readonly name = 'GivenUpError'
}

/**
 * Closes all connections of a cluster at once and lets it make no new ones; what waits for an answer is rejected with the reason. kafkajs's own
 * `disconnect` waits for the answers that are outstanding, which take a minute for a join, long for a poll, and 30 s from a broker that hangs.
 * A connection that was being made at that moment is there only afterwards: whoever was opening one cuts once more.
 */
export function cutConnections({ brokerPool }: Cluster, reason: Error): void {
  // kafkajs tries a first connection again and again, unless it is told that there is no use.
  const refuse = (): Promise<never> => Promise.reject(Object.assign(new Error(reason.message), { retriable: false }))
  brokerPool.connectionPoolBuilder = { build: refuse }
  const brokers = new Set([brokerPool.seedBroker, ...Object.values(brokerPool.brokers)])
  for (const connection of [...brokers].flatMap((broker) => broker?.connectionPool.pool ?? [])) {
    connection.connect = refuse
    connection.requestQueue.rejectAll(reason)
    void connection.disconnect().catch(() => undefined)
    // With an error, for only that makes kafkajs reject what is being connected.
    connection.socket?.destroy(reason)
  }
}
