import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { expect, onTestFinished, test, vi } from 'vitest'
import { FolderLock } from '../../../src/buffers/embedded/lock.ts'
import { InputWriter } from '../../../src/buffers/kafka/input-writer.ts'
import { openKafkaDeadLetters } from '../../../src/buffers/kafka/dead-letter-store.ts'
import { openKafkaBuffer, type KafkaBufferOptions } from '../../../src/buffers/kafka/kafka.ts'
import { StateLog } from '../../../src/buffers/kafka/state-log.ts'
import { Topics } from '../../../src/buffers/kafka/topics.ts'
import { assertNotInKafka } from '../../../src/buffers/move/guard.ts'
import { KafkaSource } from '../../../src/buffers/move/kafka-source.ts'
import { pointerPath, readPointer } from '../../../src/buffers/move/pointer.ts'
import { moveToEmbedded, type MoveBackOptions } from '../../../src/buffers/move/to-embedded.ts'
import { moveToKafka } from '../../../src/buffers/move/to-kafka.ts'
import { createKafkaClient } from '../../../src/kafka/client.ts'
import { FencedError } from '../../../src/kafka/errors.ts'
import { PartitionReader } from '../../../src/kafka/partition-reader.ts'
import { RecordProducer } from '../../../src/kafka/record-producer.ts'
import type { EventBuffer } from '../../../src/pipeline/buffer.ts'
import { systemClock, type Clock } from '../../../src/pipeline/clock.ts'
import { FatalError } from '../../../src/pipeline/errors.ts'
import { deadLetterOf, INPUT, numbered, openShares, readShipment, SERVICE, unitOf } from '../../contract/buffer-units.ts'
import { describeKafka, sharedBroker } from '../../support/kafka.ts'
import { contentInEmbedded, fill, kafkaOptions, log, moveOptions, openEmbedded, temporaryFolder, type Content } from './filled.ts'

const CHILD = fileURLToPath(new URL('./back-child-main.ts', import.meta.url))

/** So that one that was killed does not hold up the next for long. */
const SHORT_SESSIONS = { sessionTimeoutMs: 1_500 }
/** Runs ten times as fast, so that a wait that ends with a refusal is short. */
const QUICK_CLOCK: Clock = {
  ...systemClock,
  monotonic: () => systemClock.monotonic() * 10,
  after: (ms, callback) => systemClock.after(ms / 10, callback),
  sleep: (ms, signal) => systemClock.sleep(ms / 10, signal),
}

function backOptions(dir: string, kafka: KafkaBufferOptions, changes: Partial<MoveBackOptions> = {}): MoveBackOptions {
  return { ...kafka, groupTimeouts: SHORT_SESSIONS, dir, maxSizeBytes: 2 ** 30, signal: new AbortController().signal, ...changes }
}

/** Everything but the size. */
function expectSame(now: Content, before: Content): void {
  for (const [name, events] of Object.entries(before.events)) expect([name, now.events[name]]).toEqual([name, events])
  expect(now.services).toEqual(before.services)
  const comparable = ({ services, outputs, pools, sourceDeadLetters }: Content['snapshot']) => ({ services, pools, sourceDeadLetters, outputs })
  expect(comparable(now.snapshot)).toEqual(comparable(before.snapshot))
}

/** A Kafka buffer with something of everything, and the folder that it came from. */
async function filledKafka(): Promise<{ readonly dir: string; readonly kafka: KafkaBufferOptions; readonly before: Content }> {
  const dir = await temporaryFolder()
  const kafka = kafkaOptions(await sharedBroker())
  const before = await fill(dir)
  await moveToKafka(moveOptions(dir, kafka))
  return { dir, kafka, before }
}

/** A Kafka buffer with three events in one partition; nobody holds it afterwards. */
async function smallKafka(outputs: readonly string[] = ['devo']): Promise<KafkaBufferOptions> {
  const kafka = { ...kafkaOptions(await sharedBroker()), partitions: 1 }
  await withKafka(kafka, async (buffer) => {
    await openShares(buffer, outputs.map((name) => ({ name, startFrom: 'now' })))
    const ownership = await buffer.ownInputs(AbortSignal.timeout(20_000))
    await buffer.append(unitOf({ chunks: [numbered(0, 3)], position: { settled: 7 } }))
    await ownership.release()
  })
  return kafka
}

async function withKafka<Result>(kafka: KafkaBufferOptions, work: (buffer: EventBuffer) => Promise<Result>): Promise<Result> {
  const buffer = await openKafkaBuffer(kafka)
  try {
    return await work(buffer)
  } finally {
    await buffer.close()
  }
}

async function eventsInEmbedded(dir: string, output: string) {
  const buffer = await openEmbedded(dir)
  try {
    const shares = await openShares(buffer, [{ name: output, startFrom: 'now' }])
    return { events: (await readShipment(buffer, output, shares.get(output)?.cursor ?? '')).events, snapshot: await buffer.snapshot() }
  } finally {
    await buffer.close()
  }
}

/** Ends with the kill that was asked for. */
async function killedMove(dir: string, { connection, prefix }: KafkaBufferOptions, step: string, nth = 1): Promise<void> {
  const child = spawn(process.execPath, [CHILD, dir, connection.brokers.join(','), prefix, step, String(nth)], { stdio: ['ignore', 'inherit', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null] // as Node documents it
  expect([step, nth, signal]).toEqual([step, nth, 'SIGKILL'])
}

describeKafka('a move to the embedded buffer', () => {
  test('carries everything over, each once, into the folder that it once came from', async () => {
    const { dir, kafka, before } = await filledKafka()
    const moved = await moveToEmbedded(backOptions(dir, kafka))
    expect(moved).toMatchObject({ services: 2, outputs: 4, deadLetters: 9 })
    expect(readdirSync(dir).sort()).toEqual(['buffer.db', 'buffer.db.moved', 'buffer.lock', 'retries.lock'])
    expect(statSync(join(dir, 'buffer.db')).mode & 0o777).toBe(0o600)
    expectSame(await contentInEmbedded(dir), before)
    const windows = (name: string): unknown[] => {
      const db = new Database(join(dir, name), { readonly: true })
      try {
        return db.prepare('SELECT pulled_at, window_from, window_to, sum(events) FROM chunks GROUP BY pulled_at, window_from, window_to ORDER BY 1, 2').raw().all()
      } finally {
        db.close()
      }
    }
    expect(windows('buffer.db')).toEqual(windows('buffer.db.moved'))
  })

  test('may be followed by one to Kafka, and by one back', async () => {
    const { dir, kafka, before } = await filledKafka()
    await moveToEmbedded(backOptions(dir, kafka))
    const again = kafkaOptions(await sharedBroker())
    await moveToKafka(moveOptions(dir, again))
    await moveToEmbedded(backOptions(dir, again))
    expectSame(await contentInEmbedded(dir), before)
  })

  test('killed at many moments and begun again, it neither loses nor doubles; nobody begins on either side meanwhile', { timeout: 120_000 }, async () => {
    const { dir, kafka, before } = await filledKafka()
    let isSealed = false
    for (const [step, nth] of [['begin', 1], ['commit', 1], ['begin', 1], ['commit', 3], ['append', 3], ['addService', 2], ['complete', 1]] as const) {
      await killedMove(dir, kafka, step, nth)
      expect(() => assertNotInKafka(dir)).toThrow(/are in Kafka, topic_prefix .*`tap-collector move --from OLD_CONFIG`/)
      isSealed ||= step === 'commit'
      if (isSealed) await expect(openKafkaBuffer(kafka)).rejects.toThrow(FatalError)
    }
    await killedMove(dir, kafka, 'putInPlace')
    expect(readPointer(dir)).not.toBeNull()
    expect(() => assertNotInKafka(dir)).not.toThrow()
    expect(await moveToEmbedded(backOptions(dir, kafka))).toBeNull()
    expect(existsSync(pointerPath(dir))).toBe(false)
    expectSame(await contentInEmbedded(dir), before)
    expect(readdirSync(dir).filter((name) => name.startsWith('buffer.db')).sort()).toEqual(['buffer.db', 'buffer.db.moved'])
    await expect(moveToEmbedded(backOptions(await temporaryFolder(), kafka))).rejects.toThrow(/all was moved to .* already, at 20/)
  })

  test('brings those to rest that were there before, and whoever comes finds where all has gone', async () => {
    const kafka = await smallKafka()
    const topics = new Topics(kafka.prefix)
    const client = createKafkaClient(kafka.connection, log)
    const stateReader = new PartitionReader(client, topics.state)
    const signal = new AbortController().signal
    const writer = new InputWriter({
      client, topics, inputId: INPUT, stateLog: new StateLog(stateReader, systemClock, signal), compression: 'none', eventPartitions: [0],
      beginsAnew: false, lost: signal, onFenced: () => undefined,
    })
    const early = await openKafkaBuffer(kafka)
    onTestFinished(async () => {
      await Promise.allSettled([early.close(), writer.close(), stateReader.close()])
    })
    await early.openOutputs([{ name: 'devo', startFrom: 'now' }])
    await writer.append(unitOf({ chunks: [numbered(3, 2)], position: { settled: 8 } }))

    const dir = await temporaryFolder()
    await moveToEmbedded(backOptions(dir, kafka))
    await expect(writer.append(unitOf({ chunks: [numbered(5, 2)] }))).rejects.toThrow(FencedError)
    await expect(writer.loadService(SERVICE)).rejects.toThrow(/were moved to the embedded buffer .* at 20/)
    await expect(early.takeShare('devo', signal)).rejects.toThrow(/were moved to the embedded buffer/)
    const ownership = await early.ownInputs(AbortSignal.timeout(20_000))
    await expect(early.loadService(INPUT, SERVICE)).rejects.toThrow(/were moved to the embedded buffer/)
    await ownership.release()
    const opening = openKafkaBuffer(kafka)
    await expect(opening).rejects.toThrow(FatalError)
    await expect(opening).rejects.toThrow(new RegExp(`were moved to the embedded buffer .*:${dir} at 20.*\`tap-collector reset\`, naming every service`))
    await withKafka({ ...kafka, readOnly: true }, async (buffer) => {
      expect((await buffer.snapshot()).services).toMatchObject([{ settled: 8 }])
    })
    expect((await eventsInEmbedded(dir, 'devo')).events).toEqual(numbered(0, 5))

    // As `reset` does that names every service.
    await withKafka({ ...kafka, lostState: 'leave' }, async (buffer) => {
      const owned = await buffer.ownInputs(AbortSignal.timeout(20_000))
      await buffer.startService(INPUT, SERVICE, 1_000, null)
      await owned.release()
    })
    await expect(openKafkaBuffer(kafka)).rejects.toThrow(/were moved/)
    await withKafka({ ...kafka, lostState: 'accept' }, async () => undefined)
    await withKafka(kafka, async (buffer) => {
      expect(await buffer.loadService(INPUT, SERVICE)).toMatchObject({ settled: 1_000 })
    })
  })

  test('refuses while a collector runs or delivers, and while the folder is another\'s, and changes nothing', async () => {
    const kafka = await smallKafka()
    const dir = await temporaryFolder()
    await withKafka(kafka, async (buffer) => {
      const ownership = await buffer.ownInputs(AbortSignal.timeout(20_000))
      await expect(moveToEmbedded(backOptions(dir, kafka, { clock: QUICK_CLOCK }))).rejects.toThrow(/another collector runs on this buffer/)
      await ownership.release()
      await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
      await expect(moveToEmbedded(backOptions(dir, kafka, { clock: QUICK_CLOCK }))).rejects.toThrow(/a collector delivers to the output devo .*; stop it first/)
    })
    const letters = await openKafkaDeadLetters(kafka)
    const claim = await letters.claimRetries()
    await expect(moveToEmbedded(backOptions(dir, kafka, { clock: QUICK_CLOCK }))).rejects.toThrow(/"dead-letters retry" is under way .*; stop it first/)
    await claim.release()
    await letters.close()
    const lock = new FolderLock(dir, Date.now())
    try {
      await expect(moveToEmbedded(backOptions(dir, kafka))).rejects.toThrow(/in use by process/)
    } finally {
      lock.release()
    }
    expect(readdirSync(dir).filter((name) => name.startsWith('buffer.db'))).toEqual([])
    await withKafka(kafka, async () => undefined)
    await moveToEmbedded(backOptions(dir, kafka))
  })

  test('that does not fit, or is stopped, takes everything back and says what to do', async () => {
    const { dir, kafka, before } = await filledKafka()
    const small = moveToEmbedded(backOptions(dir, kafka, { maxSizeBytes: 4 * 1024 * 1024 }))
    await expect(small).rejects.toThrow(FatalError)
    await expect(small).rejects.toThrow(/takes more than the 4 MB .*max_size_in_mb.*Raise that/)
    await withKafka(kafka, async () => undefined)
    const stop = new AbortController()
    const stopping = moveToEmbedded(backOptions(dir, kafka, {
      signal: stop.signal,
      clock: { ...systemClock, now: () => (stop.abort(new Error('stopped by SIGTERM')), systemClock.now()) },
    }))
    await expect(stopping).rejects.toThrow('stopped by SIGTERM')
    await withKafka(kafka, async () => undefined)
    expect(readdirSync(dir).filter((name) => name.startsWith('buffer.db'))).toEqual(['buffer.db.moved'])
    await moveToEmbedded(backOptions(dir, kafka))
    expectSame(await contentInEmbedded(dir), before)
  })

  test('goes into no folder that has a buffer, or whose events are elsewhere', async () => {
    const kafka = await smallKafka()
    const used = await temporaryFolder()
    await (await openEmbedded(used)).close()
    await expect(moveToEmbedded(backOptions(used, kafka))).rejects.toThrow(/buffer\.db is there already, and holds something else/)
    const { dir } = await filledKafka()
    await expect(moveToEmbedded(backOptions(dir, kafka))).rejects.toThrow(/are in Kafka under the topic_prefix .* and not /)
    const nothing = kafkaOptions(await sharedBroker(), `m${randomUUID()}`)
    await expect(moveToEmbedded(backOptions(await temporaryFolder(), nothing))).rejects.toThrow(/these topics do not exist/)
    await withKafka(kafka, async () => undefined)
  })

  test('tells what the topic no longer had, keeps what is no event, and leaves behind who is off and forgotten', async () => {
    const kafka = await smallKafka(['devo', 'other'])
    const topics = new Topics(kafka.prefix)
    const client = createKafkaClient(kafka.connection, log)
    const producer = new RecordProducer(client)
    await producer.send([{ topic: topics.events, partition: 0, records: [{ key: Buffer.from('x'), value: Buffer.from('no event') }] }])
    await producer.close()
    await withKafka(kafka, async (buffer) => {
      await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])
      const ownership = await buffer.ownInputs(AbortSignal.timeout(20_000))
      await buffer.append(unitOf({ chunks: [numbered(3, 3)], deadLetters: [deadLetterOf('dropped', null), deadLetterOf('kept', null)] }))
      await ownership.release()
    })
    const store = await openKafkaDeadLetters(kafka)
    for await (const { id, event } of store.read()) if (Buffer.from(event).toString() === 'dropped') await store.replace([id], [])
    await store.close()
    const admin = client.admin()
    await admin.connect()
    onTestFinished(() => admin.disconnect())
    const removeBefore = async (offset: number): Promise<void> => {
      await admin.fetchTopicMetadata({ topics: [topics.events] }) // kafkajs does not ask by itself
      await admin.deleteTopicRecords({ topic: topics.events, partitions: [{ partition: 0, offset: String(offset) }] })
    }
    await removeBefore(1)
    await admin.deleteGroups([topics.outputGroup('other')])
    // Retention goes on meanwhile: at the moment when it is known where everything begins.
    const bounds = vi.spyOn(KafkaSource.prototype, 'bounds')
    onTestFinished(() => bounds.mockRestore())
    bounds.mockImplementation(async function (this: KafkaSource) {
      const starts = await this.events.offsets('earliest')
      await removeBefore(2)
      return { starts, ends: await this.events.offsets('latest') }
    })
    const dir = await temporaryFolder()
    const moved = await moveToEmbedded(backOptions(dir, kafka))
    expect(moved).toMatchObject({ events: 4, outputs: 1 })
    const { events, snapshot } = await eventsInEmbedded(dir, 'devo')
    expect(events).toEqual(numbered(2, 4))
    expect(snapshot.outputs).toMatchObject([{ name: 'devo', missedEvents: 2, deadLetters: 1, open: true }])
    expect(snapshot.sourceDeadLetters).toBe(1)
  })
})
