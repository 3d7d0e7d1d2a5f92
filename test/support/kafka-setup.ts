import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import type { TestProject } from 'vitest/node'
import { canStartBroker, givenBrokers, installKafka, startBroker, type TestBroker } from './kafka-broker.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where `sharedBroker` asks for the broker of the run. */
    readonly kafkaPort: number
  }
}

/** What is answered on `kafkaPort`, as JSON. */
export type SharedBrokerAnswer = { readonly brokers: readonly string[] } | { readonly problem: string }

/**
 * Of vitest, once for a run: fetches Kafka where that can be done, and starts one broker when the first test asks for it. A run without
 * such a test starts none.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (!canStartBroker()) fetchKafka()
  let broker: Promise<TestBroker> | null = null
  const answer = async (): Promise<SharedBrokerAnswer> => {
    const given = givenBrokers()
    if (given !== null) return { brokers: given }
    broker ??= startBroker()
    return broker.then(({ brokers }) => ({ brokers }), (error: unknown) => ({ problem: String(error) }))
  }
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    void answer().then((found) => socket.end(JSON.stringify(found)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  project.provide('kafkaPort', (server.address() as AddressInfo).port) // it listens on TCP
  return async () => {
    server.close()
    const started = await broker?.catch(() => null)
    await started?.dispose()
  }
}

/** A failure here fails no test but those that need a broker. Also beside KAFKA_BROKERS: some tests need one that they may end. */
function fetchKafka(): void {
  try {
    installKafka()
    return
  } catch {
    // The script has said why.
  }
  const which = givenBrokers() === null ? 'that need Apache Kafka' : 'that start an Apache Kafka of their own'
  const isFailure = process.env.CI !== undefined && givenBrokers() === null
  console.warn(`${isFailure ? 'FAIL' : 'SKIPPED'}: the tests ${which}. Java 17 and Maven bring it; KAFKA_BROKERS is enough for some of them.`)
}
