import { randomBytes } from 'node:crypto'
import { jsonRecord } from '../../../src/buffers/kafka/state-records.ts'
import { STATE_PARTITION } from '../../../src/buffers/kafka/state-log.ts'
import { Topics, topicSpecs } from '../../../src/buffers/kafka/topics.ts'
import { RecordProducer } from '../../../src/kafka/record-producer.ts'
import { ensureTopics } from '../../../src/kafka/topics.ts'
import { FINGERPRINT_BYTES } from '../../../src/pipeline/event.ts'
import type { Window } from '../../../src/pipeline/unit.ts'
import { INPUT_ID, script, type Bench } from '../bench.ts'
import { Child } from '../children.ts'
import { PARTITIONS, type KafkaSide } from './side.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
const SERVICES = ['clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered'] as const
const POOLS = ['clicks', 'siem'] as const
/** A busy input: a million events of 2 KB an hour, all of them in passes of a minute of each service, in units of 4 MiB. */
const EVENTS_AN_HOUR = 1_000_000
const UNITS_A_PASS = 3
const FINGERPRINTS_A_UNIT = Math.round(EVENTS_AN_HOUR / (60 * SERVICES.length * UNITS_A_PASS))
/** A window's fingerprints go when the mark has passed it. */
const LOOK_BACK_MINUTES = 47
/**
 * What compaction leaves alone, however often it has run in the month: the active segment (segment.ms, 10 minutes) and what is dirty for
 * less than max.compaction.lag.ms (an hour). As long again for a broker that is slow to clean.
 */
const UNCOMPACTED_MINUTES = 140
/** The quota counts a day of minutes, by the process that has sent them. */
const QUOTA_MINUTES = 24 * 60
const ROUNDS = 5

/**
 * A month of a busy input on the state topic, read again by a process that has just started. What compaction leaves of the month is the
 * last value of each key: marks, the fingerprints within the look-back, a day of counted requests. Behind it lie the last hours as they
 * were written, one transaction for each unit.
 */
export async function measureRestore(bench: Bench, kafka: KafkaSide): Promise<string> {
  const prefix = kafka.prefix()
  await writeMonth(kafka, prefix)
  const restores: { ms: number; records: number; mb: number }[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const child = new Child(script('kafka/restore-main.ts'), [kafka.brokers.join(','), prefix])
    const { ms, records, bytes } = await child.next('restored')
    restores.push({ ms: Number(ms), records: Number(records), mb: Number(bytes) / 1e6 })
    await child.end()
  }
  const starts: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    bench.api.forget('request')
    const startedAt = performance.timeOrigin + performance.now()
    const collector = await bench.collector({ period: 3600, probed: false, awaitRequest: false, buffer: kafka.buffer(prefix, 'gzip') })
    starts.push((await bench.api.number('request', 'at')) - startedAt)
    await collector.end('SIGTERM')
  }
  const middle = restores.sort((a, b) => a.ms - b.ms)[Math.floor(ROUNDS / 2)]
  const start = starts.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0
  return (
    `Kafka, the state of a month (${middle?.records ?? 0} records, ${middle?.mb.toFixed(0) ?? ''} MB): ` +
    `restored in ${middle?.ms.toFixed(0) ?? ''} ms, ` +
    `start of the process to its first request ${start.toFixed(0)} ms (medians of ${ROUNDS})`
  )
}

async function writeMonth(kafka: KafkaSide, prefix: string): Promise<void> {
  const topics = new Topics(prefix)
  // The broker must not compact what is written as not yet compacted.
  const options = { prefix, partitions: PARTITIONS, replicationFactor: null, retentionMs: DAY_MS }
  const notCompacted = { 'cleanup.policy': 'compact', 'min.compaction.lag.ms': String(DAY_MS) }
  const specs = topicSpecs(topics, options).map((spec) => (spec.name === topics.state ? { ...spec, config: notCompacted } : spec))
  await ensureTopics(kafka.client, specs, { create: true })
  const buffer = await kafka.open(prefix, 'gzip')
  try {
    await writeRequests(kafka, topics)
    const ownership = await buffer.ownInputs(AbortSignal.timeout(60_000))
    const end = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS
    const begin = end - (UNCOMPACTED_MINUTES + LOOK_BACK_MINUTES) * MINUTE_MS
    for (const service of SERVICES) await buffer.startService(INPUT_ID, service, begin, null)
    for (let to = begin + MINUTE_MS; to <= end; to += MINUTE_MS) {
      const isCompacted = to <= begin + LOOK_BACK_MINUTES * MINUTE_MS
      for (const service of SERVICES) {
        for (let unit = 1; unit <= UNITS_A_PASS; unit += 1) {
          const forgotten = unit === UNITS_A_PASS && !isCompacted ? [windowBefore(to - LOOK_BACK_MINUTES * MINUTE_MS)] : []
          const seen = { window: windowBefore(to), fingerprints: new Uint8Array(randomBytes(FINGERPRINTS_A_UNIT * FINGERPRINT_BYTES)) }
          await buffer.append({
            inputId: INPUT_ID, service, pulledAt: to, environment: null, window: windowBefore(to), chunks: [], deadLetters: [],
            position: { settled: to - LOOK_BACK_MINUTES * MINUTE_MS, readAt: to, holes: [], gaps: [], seen, forgotten },
          })
        }
      }
    }
    await ownership.release()
  } finally {
    await buffer.close()
  }
}

function windowBefore(to: number): Window {
  return { from: to - MINUTE_MS, to }
}

async function writeRequests(kafka: KafkaSide, topics: Topics): Promise<void> {
  const producer = new RecordProducer(kafka.client)
  const now = Math.floor(Date.now() / MINUTE_MS)
  try {
    const records = POOLS.flatMap((pool) =>
      Array.from({ length: QUOTA_MINUTES }, (_, index) => jsonRecord({ kind: 'requests', pool, minute: now - index, writer: 'bench' }, 2)),
    )
    const written = records.map(({ key, value }) => ({ key: Buffer.from(key), value }))
    await producer.send([{ topic: topics.state, partition: STATE_PARTITION, records: written }])
  } finally {
    await producer.close()
  }
}
