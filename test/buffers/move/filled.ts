import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import Database from 'better-sqlite3'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import { openKafkaBuffer, type KafkaBufferOptions } from '../../../src/buffers/kafka/kafka.ts'
import type { MoveOptions } from '../../../src/buffers/move/to-kafka.ts'
import type { BufferSnapshot, EventBuffer } from '../../../src/pipeline/buffer.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { eventsOf, FINGERPRINT_BYTES } from '../../../src/pipeline/event.ts'
import type { ServiceState } from '../../../src/pipeline/unit.ts'
import { deadLetterOf, fingerprintsOf, HOUR_MS, INPUT, numbered, openShares, padded, readShipment, SERVICE, unitOf } from '../../contract/buffer-units.ts'

export const log = pino({ level: process.env.KAFKA_LOG ?? 'silent' })
const OTHER = { inputId: '54321', service: 'messagesBlocked' } as const
/** Each begins elsewhere; `gone` is off now. */
const OUTPUTS = ['ahead', 'behind', 'between', 'gone'] as const

/** What a buffer holds, as far as every kind of buffer can say it. */
export interface Content {
  /** By output: every event that it still gets, with what its pull was. */
  readonly events: Readonly<Record<string, readonly string[]>>
  readonly services: readonly (ServiceState | null)[]
  readonly snapshot: BufferSnapshot
}

export async function temporaryFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'tap-move-'))
  onTestFinished(async () => rm(dir, { recursive: true, force: true }))
  return dir
}

export function openEmbedded(dir: string): Promise<EventBuffer> {
  return openEmbeddedBuffer({ dir, retentionMs: HOUR_MS, maxSizeBytes: 2 ** 30, clock: systemClock, log, inThread: true })
}

export function kafkaOptions(brokers: readonly string[], prefix = `m${randomUUID()}`): KafkaBufferOptions {
  return {
    connection: { brokers, ssl: false, sasl: null },
    prefix, partitions: 3, replicationFactor: null, retentionMs: HOUR_MS, compression: 'gzip', createTopics: true, clock: systemClock, log,
  }
}

export function moveOptions(dir: string, kafka: KafkaBufferOptions): MoveOptions {
  return { ...kafka, dir, signal: new AbortController().signal, onBegin: async () => undefined }
}

/** A collector's buffer with something of everything, and outputs that are far apart. Says what is in it. */
export async function fill(dir: string): Promise<Content> {
  const buffer = await openEmbedded(dir)
  await openShares(buffer, OUTPUTS.map((name) => ({ name, startFrom: 'now' })))
  await buffer.startService(INPUT, SERVICE, 5, 1_000)
  for (let n = 0; n < 8; n += 1) {
    await buffer.append(
      unitOf({
        chunks: [numbered(n * 1_000, 100), numbered(n * 1_000 + 100, 7)],
        pulledAt: 1_700_000_000_000 + n,
        window: { from: n, to: n + HOUR_MS },
        deadLetters: [deadLetterOf(`{"refused":${n}}`, null)],
        position: {
          settled: 10 + n, readAt: 20 + n,
          holes: [{ from: 1, to: 2, since: 3, triedAt: 4 + n, reason: 'a hole' }],
          gaps: [{ from: n, to: n + 1, recordedAt: 9, reason: 'a gap' }],
          seen: { window: { from: n % 3, to: HOUR_MS }, fingerprints: fingerprintsOf(numbered(n * 1_000, 3)) },
        },
      }),
    )
    await buffer.append(unitOf({ ...OTHER, environment: 'prod', chunks: [numbered(n * 1_000 + 500, 3)], pulledAt: 1_700_000_000_100 + n }))
  }
  await buffer.commit('ahead', '18', [deadLetterOf('{"no":1}', 'ahead')])
  await buffer.commit('between', '7', [])
  await buffer.commit('gone', '12', [])
  // More than one transaction takes.
  await buffer.append(unitOf({ chunks: Array.from({ length: 28 }, (_, n) => padded(100_000 + n * 100, 20, 10_000)) }))
  for (const minute of [1, 1, 2]) await buffer.count('pool', minute, 0)
  await openShares(buffer, OUTPUTS.slice(0, 3).map((name) => ({ name, startFrom: 'now' })))
  await buffer.close()
  // As in a file that came from Kafka: some outputs had some of the chunks before.
  const db = new Database(join(dir, 'buffer.db'))
  for (const [output, first, last] of [['between', 9, 10], ['behind', 13, 14], ['ahead', 30, 31]] as const) {
    db.prepare(
      `INSERT INTO passed_over (output, first_chunk, last_chunk, events_before, events_after)
        SELECT ?, ?, ?, (SELECT events_before FROM chunks WHERE chunk = ?), (SELECT events_before + events FROM chunks WHERE chunk = ?)`,
    ).run(output, first, last, first, last)
  }
  db.close()
  const filled = await openEmbedded(dir)
  const content = await contentOf(filled, { ahead: '18', behind: '0', between: '7', gone: '12' })
  await filled.close()
  return content
}

/** The content of the embedded buffer in the folder, in the same form; which outputs are on stays as it is. */
export async function contentInEmbedded(dir: string): Promise<Content> {
  const buffer = await openEmbedded(dir)
  try {
    const snapshot = await buffer.snapshot()
    const shares = await openShares(buffer, OUTPUTS.map((name) => ({ name, startFrom: 'now' })))
    const content = await contentOf(buffer, Object.fromEntries([...shares].map(([name, { cursor }]) => [name, cursor])))
    await openShares(buffer, snapshot.outputs.filter(({ open }) => open).map(({ name }) => ({ name, startFrom: 'now' })))
    return { ...content, snapshot }
  } finally {
    await buffer.close()
  }
}

/** The content of the Kafka buffer, in the same form. */
export async function contentInKafka(kafka: KafkaBufferOptions): Promise<Content> {
  const buffer = await openKafkaBuffer(kafka)
  try {
    const ownership = await buffer.ownInputs(AbortSignal.timeout(20_000))
    const open = (await buffer.snapshot()).outputs.filter((output) => output.open).map(({ name }) => name)
    const before = await buffer.snapshot()
    const shares = await openShares(buffer, OUTPUTS.map((name) => ({ name, startFrom: 'now' })))
    const content = await contentOf(buffer, Object.fromEntries([...shares].map(([name, { cursor }]) => [name, cursor])))
    for (const share of shares.values()) await share.release()
    await openShares(buffer, open.map((name) => ({ name, startFrom: 'now' })))
    await ownership.release()
    return { ...content, snapshot: before }
  } finally {
    await buffer.close()
  }
}

async function contentOf(buffer: EventBuffer, cursors: Readonly<Record<string, string>>): Promise<Content> {
  const events: Record<string, string[]> = {}
  for (const [name, cursor] of Object.entries(cursors)) {
    const { batches } = await readShipment(buffer, name, cursor)
    events[name] = batches
      .flatMap((batch) =>
        [...eventsOf(batch)].map((event, index) => {
          const fingerprint = batch.fingerprints.subarray(index * FINGERPRINT_BYTES, (index + 1) * FINGERPRINT_BYTES)
          const { inputId, service, pulledAt, environment } = batch
          return [inputId, service, pulledAt, environment, Buffer.from(fingerprint).toString('hex'), Buffer.from(event).toString()].join(' ')
        }),
      )
      .sort()
  }
  const services = [await buffer.loadService(INPUT, SERVICE), await buffer.loadService(OTHER.inputId, OTHER.service)].map(inOrder)
  return { events, services, snapshot: await buffer.snapshot() }
}

/** The order of the fingerprints means nothing. */
function inOrder(state: ServiceState | null): ServiceState | null {
  if (state === null) return null
  const seen = state.seen.map(({ window, fingerprints }) => ({ window, fingerprints: new Uint8Array(fingerprints) }))
  return { ...state, seen: seen.sort((a, b) => a.window.from - b.window.from || Buffer.compare(a.fingerprints, b.fingerprints)) }
}
