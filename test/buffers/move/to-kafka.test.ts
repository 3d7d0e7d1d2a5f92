import { spawn } from 'node:child_process'
import { existsSync, readdirSync, renameSync, statSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openDeadLettersBeside } from '../../../src/buffers/embedded/dead-letters.ts'
import { FolderLock } from '../../../src/buffers/embedded/lock.ts'
import { openKafkaBuffer, type KafkaBufferOptions } from '../../../src/buffers/kafka/kafka.ts'
import { tapEventCodec } from '../../../src/buffers/kafka/tap-event.ts'
import { EmbeddedSource } from '../../../src/buffers/move/embedded-source.ts'
import { pointerPath, readPointer } from '../../../src/buffers/move/pointer.ts'
import { moveToEmbedded } from '../../../src/buffers/move/to-embedded.ts'
import { checkMoveToKafka, moveToKafka } from '../../../src/buffers/move/to-kafka.ts'
import { createKafkaClient } from '../../../src/kafka/client.ts'
import { PartitionReader } from '../../../src/kafka/partition-reader.ts'
import { RecordProducer } from '../../../src/kafka/record-producer.ts'
import { RetriesTakenError } from '../../../src/pipeline/dead-letters.ts'
import { FatalError, RetryableError } from '../../../src/pipeline/errors.ts'
import { openShares, unitOf } from '../../contract/buffer-units.ts'
import { describeKafka, sharedBroker } from '../../support/kafka.ts'
import { contentInKafka, fill, kafkaOptions, log, moveOptions, openEmbedded, temporaryFolder, type Content } from './filled.ts'

const CHILD = fileURLToPath(new URL('./child-main.ts', import.meta.url))

/** Everything but the size, which is the broker's business, and the backlog, which control records make an upper bound. */
function expectSame(now: Content, before: Content): void {
  for (const [name, events] of Object.entries(before.events)) expect([name, now.events[name]]).toEqual([name, events])
  expect(now.services).toEqual(before.services)
  const comparable = ({ services, outputs, pools, sourceDeadLetters }: Content['snapshot']) => ({
    services, pools, sourceDeadLetters, outputs: outputs.map(({ backlogEvents: _, ...rest }) => rest),
  })
  expect(comparable(now.snapshot)).toEqual(comparable(before.snapshot))
}

/** Gives the number of transactions where the child came to its end. */
async function moveInChild(dir: string, { prefix, connection }: KafkaBufferOptions, killAt: readonly [transaction: number, withinMs?: number]): Promise<number | null> {
  const child = spawn(process.execPath, [CHILD, dir, connection.brokers.join(','), prefix, ...killAt.map(String)], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.once('close', (_code, signal) => resolve(signal)))
  onTestFinished(() => void child.kill('SIGKILL'))
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  if ((await ended) === 'SIGKILL') return null
  if (output === '') throw new Error(errors)
  return Number(output)
}

async function eventsInTopic({ connection, prefix }: KafkaBufferOptions) {
  const reader = new PartitionReader(createKafkaClient(connection, log), `${prefix}.events`)
  const found: { readonly window: string; readonly event: string; readonly age: number }[] = []
  try {
    for (const [partition, end] of await reader.offsets('latest')) {
      for (let next = 0; next < end; ) {
        const [page] = await reader.fetch(new Map([[partition, next]]), { maxBytes: 4_000_000, maxWaitMs: 500, minBytes: 1, signal: AbortSignal.timeout(20_000) })
        for (const { value, timestamp } of page?.records ?? []) {
          const decoded = tapEventCodec.decode(value ?? Buffer.alloc(0)) as { window_from: number; window_to: number; event: Buffer } // what avsc makes of the schema
          found.push({ window: `${decoded.window_from} ${decoded.window_to}`, event: decoded.event.toString(), age: Date.now() - timestamp })
        }
        next = page?.nextOffset ?? end
      }
    }
  } finally {
    await reader.close()
  }
  return found
}

describeKafka('a move to Kafka', () => {
  // The broker of the run may have to start first.
  beforeAll(async () => {
    await sharedBroker()
  })

  test('carries everything over, each once; the file has another name then, and the folder says where all is', async () => {
    const dir = await temporaryFolder()
    const kafka = kafkaOptions(await sharedBroker())
    const before = await fill(dir)
    await checkMoveToKafka(moveOptions(dir, kafka))
    let told = 0
    await moveToKafka({ ...moveOptions(dir, kafka), onBegin: async () => void (told += 1) })
    expect(told).toBe(1)
    expectSame(await contentInKafka(kafka), before)
    expect(readdirSync(dir).sort()).toEqual(['buffer.db.moved', 'buffer.lock', 'kafka-buffer.json', 'retries.lock'])
    expect(readPointer(dir)).toEqual({ topicPrefix: kafka.prefix, brokers: kafka.connection.brokers, movedFrom: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown })
    expect(statSync(pointerPath(dir)).mode & 0o777).toBe(0o600)

    const inTopic = await eventsInTopic(kafka)
    const db = new Database(join(dir, 'buffer.db.moved'), { readonly: true })
    const rows = db.prepare<[], { lines: string; window: string }>(`SELECT lines, window_from || ' ' || window_to AS window FROM chunks`).all()
    db.close()
    const windows = rows.flatMap(({ lines, window }) => lines.trimEnd().split('\n').map((event) => `${window} ${event}`))
    expect(inTopic.map(({ window, event }) => `${window} ${event}`).sort()).toEqual(windows.sort())
    // A full retention lies before the oldest of them.
    expect(Math.max(...inTopic.map(({ age }) => age))).toBeLessThan(3_700_000)

    // Called again where nothing is left to move: nothing comes.
    await moveToKafka(moveOptions(dir, kafka))
    expect(await eventsInTopic(kafka)).toHaveLength(inTopic.length)
  })

  test('of a file that was put back brings nothing twice, and goes nowhere where all has gone on from there', async () => {
    const dir = await temporaryFolder()
    const kafka = kafkaOptions(await sharedBroker())
    await fill(dir)
    await moveToKafka(moveOptions(dir, kafka))
    const before = (await eventsInTopic(kafka)).length
    renameSync(join(dir, 'buffer.db.moved'), join(dir, 'buffer.db'))
    await moveToKafka(moveOptions(dir, kafka))
    expect(await eventsInTopic(kafka)).toHaveLength(before)
    await moveToEmbedded({ ...moveOptions(await temporaryFolder(), kafka), maxSizeBytes: 2 ** 30 })
    renameSync(join(dir, 'buffer.db.moved'), join(dir, 'buffer.db'))
    await expect(moveToKafka(moveOptions(dir, kafka))).rejects.toThrow(/is in use \(what was there was moved to the embedded buffer/)
    expect(existsSync(join(dir, 'buffer.db'))).toBe(true)
  })

  test('killed at many moments, it goes on where it was, and neither loses nor doubles', { timeout: 120_000 }, async () => {
    const dir = await temporaryFolder()
    const kafka = kafkaOptions(await sharedBroker())
    const before = await fill(dir)
    // The first transaction of each process fences the one before it. Without a time the kill comes right behind the transaction.
    const killAt = [[1, 2], [2], [2, 15], [3], [2, 60], [3, 5], [3, 30]] as const
    let kills = 0
    while ((await moveInChild(dir, kafka, killAt[kills] ?? [3])) === null) kills += 1
    // The last one is behind the transaction that ends the move, and before the file is renamed.
    expect(kills).toBeGreaterThan(killAt.length)
    expectSame(await contentInKafka(kafka), before)
    expect(existsSync(join(dir, 'buffer.db'))).toBe(false)
  })

  test('that is not at its end is no state: nobody begins there, whatever he wants', async () => {
    const dir = await temporaryFolder()
    const kafka = kafkaOptions(await sharedBroker())
    await fill(dir)
    await moveInChild(dir, kafka, [3])
    for (const options of [kafka, { ...kafka, readOnly: true }, { ...kafka, lostState: 'leave' as const }]) {
      const opening = openKafkaBuffer(options)
      await expect(opening).rejects.toThrow(RetryableError)
      await expect(opening).rejects.toThrow(/buffer\.db is being moved to .*\.events, which is not at its end/)
    }
    // Run on with the embedded buffer meanwhile, it is another one.
    const buffer = await openEmbedded(dir)
    await buffer.append(unitOf({ chunks: [['{"late":1}']] }))
    await buffer.close()
    const move = moveToKafka(moveOptions(dir, kafka))
    await expect(move).rejects.toThrow(FatalError)
    await expect(move).rejects.toThrow(/topic_prefix m.* is in use .*is being moved there.*Use another topic_prefix/)
    await expect(checkMoveToKafka(moveOptions(dir, kafka))).rejects.toThrow(FatalError)
    await moveToKafka(moveOptions(dir, kafkaOptions(await sharedBroker())))
  })

  test('goes only where nothing is', async () => {
    const dir = await temporaryFolder()
    const used = kafkaOptions(await sharedBroker())
    await fill(dir)
    await (await openKafkaBuffer(used)).close()
    await expect(moveToKafka(moveOptions(dir, used))).rejects.toThrow(/a collector has run there/)
    const producer = new RecordProducer(createKafkaClient(used.connection, log))
    const holdsEvents = kafkaOptions(await sharedBroker())
    await expect(moveToKafka({ ...moveOptions(dir, holdsEvents), createTopics: false })).rejects.toThrow(/these topics do not exist/)
    const other = await temporaryFolder()
    await (await openEmbedded(other)).close()
    await moveToKafka(moveOptions(other, holdsEvents))
    await producer.send([{ topic: `${holdsEvents.prefix}.state`, partition: 0, records: ['move', 'layout'].map((key) => ({ key: Buffer.from(key), value: null })) }])
    await producer.send([{ topic: `${holdsEvents.prefix}.events`, partition: 1, records: [{ key: Buffer.from('x'), value: Buffer.from('x') }] }])
    await producer.close()
    await expect(moveToKafka(moveOptions(dir, holdsEvents))).rejects.toThrow(/it holds events/)
    expect(readPointer(dir)).toBeNull()
  })

  test('waits for nobody who holds the folder, and says who it is', async () => {
    const dir = await temporaryFolder()
    await fill(dir)
    const lock = new FolderLock(dir, Date.now())
    try {
      await expect(moveToKafka(moveOptions(dir, kafkaOptions(['127.0.0.1:1'])))).rejects.toThrow(/in use by process \d+/)
    } finally {
      lock.release()
    }
  })

  test('waits until nobody sends dead letters of the folder again, and nobody begins to meanwhile', async () => {
    const dir = await temporaryFolder()
    await fill(dir)
    const nowhere = moveOptions(dir, kafkaOptions(['127.0.0.1:1']))
    const store = openDeadLettersBeside(dir)
    const claim = await store.claimRetries()
    const refused = await moveToKafka(nowhere).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(RetryableError)
    expect(String(refused)).toMatch(/"dead-letters retry" is under way .*is moved as soon as that has ended/)
    await claim.release()
    const source = EmbeddedSource.open(dir, Date.now())
    await expect(store.claimRetries()).rejects.toBeInstanceOf(RetriesTakenError)
    source?.retire(Date.now())
    source?.close()
    await expect(store.claimRetries()).rejects.toThrow('was moved at this moment')
    await store.close()
  })

  test('that is stopped throws the reason, and leaves the folder to others', async () => {
    const dir = await temporaryFolder()
    const kafka = kafkaOptions(await sharedBroker())
    const before = await fill(dir)
    const stop = new AbortController()
    const stopping = moveToKafka({ ...moveOptions(dir, kafka), signal: stop.signal, onBegin: async () => stop.abort(new Error('stopped by SIGTERM')) })
    await expect(stopping).rejects.toThrow('stopped by SIGTERM')
    await moveToKafka(moveOptions(dir, kafka))
    expectSame(await contentInKafka(kafka), before)
  })

  test('without outputs keeps everything for the first that come', async () => {
    const dir = await temporaryFolder()
    const kafka = kafkaOptions(await sharedBroker())
    const buffer = await openEmbedded(dir)
    await buffer.append(unitOf({ chunks: [['{"n":1}'], ['{"n":2}']] }))
    await buffer.close()
    await moveToKafka(moveOptions(dir, kafka))
    const moved = await openKafkaBuffer(kafka)
    try {
      await openShares(moved, [{ name: 'devo', startFrom: 'now' }])
      expect((await moved.snapshot()).outputs).toMatchObject([{ name: 'devo', missedEvents: 0 }])
      expect((await eventsInTopic(kafka)).map(({ event }) => event).sort()).toEqual(['{"n":1}', '{"n":2}'])
      expect((await moved.snapshot()).outputs[0]?.backlogEvents).toBeGreaterThanOrEqual(2)
    } finally {
      await moved.close()
    }
  })

  test('finds damage before it is spread', async () => {
    const dir = await temporaryFolder()
    const kafka = kafkaOptions(await sharedBroker())
    await fill(dir)
    const db = new Database(join(dir, 'buffer.db'))
    db.exec(`UPDATE chunks SET lines = replace(lines, '{"n":3001}', '{"n":3333}')`)
    db.close()
    await expect(moveToKafka(moveOptions(dir, kafka))).rejects.toThrow(/is damaged .*not those that were written/)
    expect(existsSync(join(dir, 'buffer.db'))).toBe(true)
  })
})

describe('without a broker', () => {
  test('a move fails and can be tried again', async () => {
    const dir = await temporaryFolder()
    await fill(dir)
    await expect(moveToKafka(moveOptions(dir, kafkaOptions(['127.0.0.1:1'])))).rejects.toThrow(RetryableError)
    expect(readdirSync(dir).filter((name) => name.startsWith('buffer.db'))).toContain('buffer.db')
    await (await openEmbedded(dir)).close()
  })
})
