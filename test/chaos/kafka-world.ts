import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { expect } from 'vitest'
import { decodeTapEvent } from '../../src/buffers/kafka/tap-event.ts'
import { createKafkaClient, type KafkaClient } from '../../src/kafka/client.ts'
import { PartitionReader } from '../../src/kafka/partition-reader.ts'
import { Arrivals, shownEvents, textOf } from '../e2e/arrivals.ts'
import { makeWorld, type ConfigFile, type World, type WorldOptions } from '../e2e/world.ts'
import { ADD_PARTITIONS_TO_TXN, END_TXN, INIT_PRODUCER_ID, PRODUCE, type Fate, type KafkaProxy } from '../kafka/kafka-proxy.ts'

export interface KafkaWorld extends World {
  readonly prefix: string
  /**
   * What is wrong with the events topic, as any reader with read_committed sees it: events that the API has shown and that are not there
   * though they were created before `until`, and those that lie there too often or that nobody sent.
   */
  topicDifference(until: number): Promise<{ readonly missing: number; readonly surplus: number; readonly events: number }>
}

export interface KafkaWorldOptions extends WorldOptions {
  /** Where the collectors find the broker: a proxy's address, say. */
  readonly brokers: readonly string[]
  /** Where the test itself reads, if elsewhere. */
  readonly readFrom?: readonly string[]
}

export function clientOf(brokers: readonly string[]): KafkaClient {
  return createKafkaClient({ brokers, ssl: false, sasl: null }, pino({ level: 'silent' }))
}

/** A world whose collectors have a Kafka buffer of their own. Its traffic never ends; the services begin ten minutes ago. */
export async function makeKafkaWorld({ brokers, readFrom = brokers, configure, ...options }: KafkaWorldOptions): Promise<KafkaWorld> {
  const prefix = `c${randomUUID()}`
  const onKafka = (config: ConfigFile): void => {
    config.buffer = { type: 'kafka', config: { brokers, topic_prefix: prefix, partitions: 3 } }
    configure?.(config)
  }
  const world = await makeWorld({ backlogMinutes: 10, perHour: 6_000, ...options, configure: onKafka })
  return {
    ...world,
    prefix,
    async topicDifference(until) {
      const found = new Arrivals()
      const shown = shownEvents(world.model)
      for (const text of await topicTexts(readFrom, `${prefix}.events`)) found.add(text)
      found.expect(shown.map(textOf))
      const surplus = found.difference().surplus.length
      found.expect(shown.filter(({ createdAt }) => createdAt < until).map(textOf))
      return { missing: found.missing, surplus, events: found.total }
    },
  }
}

/** The requests of a transaction; those of the quota log are produce requests too, and none of it. */
export const STEPS = [INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, PRODUCE, END_TXN] as const

/**
 * Calls `act` with the given request of its kind from now on, which has not been sent on and waits for what `act` says. Those before and,
 * unless `act` sees to it, those behind it pass.
 */
export function atRequest(proxy: KafkaProxy, step: (typeof STEPS)[number], number: number, act: () => Fate | Promise<Fate>): void {
  let seen = 0
  proxy.fate = (apiKey, isTransactional) => {
    if (apiKey !== step || (step === PRODUCE && !isTransactional)) return 'pass'
    seen += 1
    return seen === number ? act() : 'pass'
  }
}

/** Nothing lost and nothing doubled, and enough to have been lost or doubled. */
export async function expectOnceEach(world: KafkaWorld, until: number): Promise<void> {
  const { events, ...difference } = await world.topicDifference(until)
  expect(difference).toEqual({ missing: 0, surplus: 0 })
  expect(events).toBeGreaterThan(1_000)
}

async function topicTexts(brokers: readonly string[], topic: string): Promise<string[]> {
  const reader = new PartitionReader(clientOf(brokers), topic)
  const texts: string[] = []
  try {
    for (const [partition, end] of await reader.offsets('latest')) {
      for (let next = 0; next < end; ) {
        const limits = { maxBytes: 4_000_000, maxWaitMs: 500, minBytes: 1, signal: AbortSignal.timeout(20_000) }
        const [page] = await reader.fetch(new Map([[partition, next]]), limits)
        for (const { value } of page?.records ?? []) {
          const { pull, event } = decodeTapEvent(value ?? Buffer.alloc(0))
          texts.push(`${pull.service} ${Buffer.from(event).toString()}`)
        }
        next = page?.nextOffset ?? end
      }
    }
  } finally {
    await reader.close()
  }
  return texts
}
