import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { pino } from 'pino'
import { openKafkaBuffer } from '../../../src/buffers/kafka/kafka.ts'
import { Topics } from '../../../src/buffers/kafka/topics.ts'
import { createKafkaClient, type KafkaClient } from '../../../src/kafka/client.ts'
import { PartitionReader } from '../../../src/kafka/partition-reader.ts'
import type { EventBuffer } from '../../../src/pipeline/buffer.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { CHUNK_MAX_EVENTS, FINGERPRINT_BYTES } from '../../../src/pipeline/event.ts'
import { UNIT_MAX_BYTES } from '../../../src/pipeline/unit.ts'
import { canStartBroker, givenBrokers, installKafka, startBroker, type TestBroker } from '../../support/kafka-broker.ts'
import { INPUT_ID, SERVICE } from '../bench.ts'
import { cpuSeconds } from '../children.ts'
import { messageJson } from '../message.ts'

export type Compression = 'gzip' | 'none'

export const PARTITIONS = 6
const RETENTION_MS = 24 * 3_600_000
/** Different chunks of events that a fill repeats, with other fingerprints. */
const DIFFERENT_CHUNKS = 40
const LOG = pino({ level: 'silent' })

/** A broker, and one topic prefix for each case. */
export class KafkaSide {
  readonly client: KafkaClient
  readonly brokers: readonly string[]
  readonly #own: TestBroker | null
  readonly #prefixes: string[] = []

  private constructor(brokers: readonly string[], own: TestBroker | null) {
    this.brokers = brokers
    this.#own = own
    this.client = createKafkaClient({ brokers, ssl: false, sasl: null }, LOG)
  }

  /** The brokers of KAFKA_BROKERS, or one of our own; null where there is neither, and the reason is on stderr. */
  static async start(): Promise<KafkaSide | null> {
    const given = givenBrokers()
    if (given !== null) return new KafkaSide(given, null)
    try {
      if (!canStartBroker()) installKafka()
    } catch {
      return null
    }
    // As a broker of the real world: with all of its compiler. The tests' own starts sooner, and is slower for ever.
    const own = await startBroker({ jvm: ['-Xmx1g'] })
    return new KafkaSide(own.brokers, own)
  }

  prefix(): string {
    const prefix = `bench-${randomUUID()}`
    this.#prefixes.push(prefix)
    return prefix
  }

  /** The `buffer` of a configuration, in YAML. */
  buffer(prefix: string, compression: Compression): string {
    const brokers = this.brokers.join(', ')
    return `{type: kafka, config: {brokers: [${brokers}], topic_prefix: ${prefix}, partitions: ${PARTITIONS}, compression: ${compression}}}`
  }

  open(prefix: string, compression: Compression, readOnly = false): Promise<EventBuffer> {
    return openKafkaBuffer({
      connection: { brokers: this.brokers, ssl: false, sasl: null },
      prefix, partitions: PARTITIONS, replicationFactor: null, retentionMs: RETENTION_MS, compression,
      createTopics: !readOnly, readOnly, clock: systemClock, log: LOG,
    })
  }

  /** A full buffer: so many events of 2 KB, as the collector's own units. */
  async fill(prefix: string, compression: Compression, events: number): Promise<void> {
    const chunks = Array.from({ length: DIFFERENT_CHUNKS }, (_, chunk) =>
      Buffer.from(Array.from({ length: CHUNK_MAX_EVENTS }, (_, index) => `${messageJson(chunk * CHUNK_MAX_EVENTS + index)}\n`).join('')),
    )
    const chunksOfUnit = Math.floor(UNIT_MAX_BYTES / (chunks[0]?.length ?? 1))
    const buffer = await this.open(prefix, compression)
    try {
      const ownership = await buffer.ownInputs(AbortSignal.timeout(60_000))
      const now = Date.now()
      await buffer.startService(INPUT_ID, SERVICE, now, null)
      for (let chunk = 0; chunk * CHUNK_MAX_EVENTS < events; chunk += chunksOfUnit) {
        const count = Math.min(chunksOfUnit, Math.ceil(events / CHUNK_MAX_EVENTS) - chunk)
        await buffer.append({
          inputId: INPUT_ID,
          service: SERVICE,
          pulledAt: now,
          environment: null,
          window: { from: now - 60_000, to: now },
          chunks: Array.from({ length: count }, (_, index) => ({
            lines: new Uint8Array(chunks[(chunk + index) % chunks.length] ?? []),
            fingerprints: new Uint8Array(randomBytes(CHUNK_MAX_EVENTS * FINGERPRINT_BYTES)),
          })),
          deadLetters: [],
          position: { settled: now, readAt: now, holes: [], gaps: [], seen: null, forgotten: [] },
        })
      }
      await ownership.release()
    } finally {
      await buffer.close()
    }
  }

  /** Asks how many offsets the events topic has: its events, and a marker of each transaction in each partition. */
  offsets(prefix: string): { count(): Promise<number>; close(): Promise<void> } {
    const reader = new PartitionReader(this.client, new Topics(prefix).events)
    return {
      count: async () => [...(await reader.offsets('latest')).values()].reduce((sum, offset) => sum + offset, 0),
      close: () => reader.close(),
    }
  }

  /** When the output had committed everything, epoch milliseconds. */
  async proven(prefix: string, output: string): Promise<number> {
    const buffer = await this.open(prefix, 'none', true)
    try {
      for (;;) {
        const found = (await buffer.snapshot()).outputs.find(({ name }) => name === output)
        if (found?.backlogEvents === 0) return found.provenAt
        await wait(20)
      }
    } finally {
      await buffer.close()
    }
  }

  /** Resolves when so many processes share the output and each has its part. */
  async shared(prefix: string, output: string, processes: number): Promise<void> {
    const group = new Topics(prefix).outputGroup(output)
    const admin = this.client.admin()
    await admin.connect()
    try {
      for (;;) {
        const [found] = (await admin.describeGroups([group])).groups
        if (found?.state === 'Stable' && found.members.length === processes) return
        await wait(200)
      }
    } finally {
      await admin.disconnect()
    }
  }

  /** CPU seconds of the broker so far; null where it is not ours. */
  cpuSeconds(): number | null {
    const pid = this.#own?.pid ?? null
    return pid === null ? null : cpuSeconds(pid)
  }

  async close(): Promise<void> {
    if (this.#own !== null) await this.#own.dispose()
    else await this.#deleteTopics()
  }

  async #deleteTopics(): Promise<void> {
    const admin = this.client.admin()
    await admin.connect()
    try {
      const ours = (await admin.listTopics()).filter((topic) => this.#prefixes.some((prefix) => topic.startsWith(`${prefix}.`)))
      if (ours.length > 0) await admin.deleteTopics({ topics: ours })
    } finally {
      await admin.disconnect()
    }
  }
}
