import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, inject } from 'vitest'
import { canStartBroker, givenBrokers, hasBroker } from './kafka-broker.ts'
import type { SharedBrokerAnswer } from './kafka-setup.ts'

/** For tests that are content with `sharedBroker`. Without any Kafka a developer goes without, and the run says so; a build fails. */
export const describeKafka = describe.skipIf(!hasBroker() && process.env.CI === undefined)

/**
 * For tests that start brokers of their own, to end, pause or configure them. Brokers in KAFKA_BROKERS are no help; who names them need
 * not have Java, also in a build.
 */
export const describeOwnBroker = describe.skipIf(!canStartBroker() && (process.env.CI === undefined || givenBrokers() !== null))

/**
 * The addresses of the run's one broker, which starts with the first call: KAFKA_BROKERS where that is set. Others use it at the same
 * time: topics, groups and transactional ids must be the test's own, and nobody ends it. Throws what Kafka said where it does not start.
 */
export async function sharedBroker(): Promise<readonly string[]> {
  const answer = JSON.parse(await text(connect(inject('kafkaPort'), '127.0.0.1'))) as SharedBrokerAnswer // written by kafka-setup.ts
  if ('problem' in answer) throw new Error(answer.problem)
  return answer.brokers
}
