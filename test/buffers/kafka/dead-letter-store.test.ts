import { pino } from 'pino'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openKafkaDeadLetters } from '../../../src/buffers/kafka/dead-letter-store.ts'
import { PartitionReader } from '../../../src/kafka/partition-reader.ts'
import { RecordProducer } from '../../../src/kafka/record-producer.ts'
import type { Cursor, DeliveryBuffer } from '../../../src/pipeline/buffer.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { Conditions } from '../../../src/pipeline/conditions.ts'
import { Counters } from '../../../src/pipeline/counters.ts'
import { DEAD_LETTERS_MAX, type DeadLetterStore, type KeptDeadLetter } from '../../../src/pipeline/dead-letters.ts'
import { deliver } from '../../../src/pipeline/deliver.ts'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import { countEvents } from '../../../src/pipeline/event.ts'
import { LettersToRetry, whyNoRetry } from '../../../src/pipeline/retry-letters.ts'
import { deadLetterOf, openShares, unitOf } from '../../contract/buffer-units.ts'
import { ModelSink, silent } from '../../pipeline/support.ts'
import { describeKafka, sharedBroker } from '../../support/kafka.ts'
import { makeTopics, SESSION_MS, type Topics } from './reading.ts'

async function openStore({ prefix }: Topics): Promise<DeadLetterStore> {
  const store = await openKafkaDeadLetters({
    connection: { brokers: await sharedBroker(), ssl: false, sasl: null }, prefix, partitions: 1, replicationFactor: null, retentionMs: 3_600_000,
    clock: systemClock, log: pino({ level: 'silent' }), groupTimeouts: { sessionTimeoutMs: SESSION_MS },
  })
  onTestFinished(() => store.close())
  return store
}

/** A collector that has one output and these dead letters of it and, where they say so, of the source. */
async function collectorWith(letters: readonly (readonly [text: string, output: string | null])[]) {
  const topics = await makeTopics()
  const buffer = await topics.open()
  const start = (await openShares(buffer, [{ name: 'a', startFrom: 'oldest' }])).get('a')?.cursor ?? ''
  await buffer.ownInputs(new AbortController().signal)
  await buffer.commit('a', start, letters.map(([text, output]) => deadLetterOf(text, output)))
  return { topics, buffer, start, counts: async () => (await buffer.snapshot()).outputs.map(({ deadLetters }) => deadLetters) }
}

async function all(store: DeadLetterStore): Promise<KeptDeadLetter[]> {
  const letters: KeptDeadLetter[] = []
  for await (const letter of store.read()) letters.push(letter)
  return letters
}

function textOf({ event }: KeptDeadLetter): string {
  return Buffer.from(event).toString()
}

/** Where the topic begins, and what the state topic still says of removed letters. */
async function lookAt({ client, prefix }: Topics): Promise<{ readonly start: number; readonly removed: readonly string[] }> {
  const letters = new PartitionReader(client, `${prefix}.dead-letter`)
  const state = new PartitionReader(client, `${prefix}.state`)
  onTestFinished(() => Promise.all([letters.close(), state.close()]).then(() => undefined))
  const values = new Map<string, Buffer | null>()
  const end = (await state.offsets('stable')).get(0) ?? 0
  for (let next = 0; next < end; ) {
    const [page] = await state.fetch(new Map([[0, next]]), { maxBytes: 2 ** 20, maxWaitMs: 500, minBytes: 1, signal: new AbortController().signal })
    for (const { key, value } of page?.records ?? []) values.set(String(key), value)
    next = page?.nextOffset ?? end
  }
  const removed = [...values].flatMap(([key, value]) => (key.startsWith('removed/') && value !== null ? [key] : []))
  return { start: (await letters.offsets('earliest')).get(0) ?? 0, removed }
}

const refusing = new ModelSink({
  behave: (_names, { reject }, batches) => {
    for (const batch of batches) for (let index = 0; index < countEvents(batch); index += 1) reject(batch, index, 'no')
  },
})

/** All that is there. */
async function deliverTo(sink: ModelSink, buffer: DeliveryBuffer, cursor: Cursor): Promise<void> {
  const never = new AbortController().signal
  await deliver({
    output: 'a', sink, buffer, cursor, transforms: [], shipmentsInFlight: 1, maxShipmentEvents: 100, maxShipmentBytes: 1e6, clock: systemClock, log: silent,
    conditions: new Conditions(() => 0), counters: new Counters(), stop: never, abort: never, drain: AbortSignal.abort(),
  })
}

const LETTER_SETTINGS = [{ name: 'retention.ms', value: '-1' }]

describeKafka('the dead letters of a Kafka buffer', () => {
  test('that are removed go from the topic as soon as none before them is left, and are hidden until then', async () => {
    const { topics, counts } = await collectorWith([['{"n":0}', 'a'], ['{"n":1}', 'a'], ['{"n":2}', 'a'], ['{"n":3}', 'a']])
    const first = await openStore(topics)
    const [zero, one, two, three] = await all(first)
    await first.replace([two?.id ?? 0], [deadLetterOf('{"n":4}', 'a', 'once more')])
    await first.replace([one?.id ?? 0], [])
    expect((await all(first)).map(textOf)).toEqual(['{"n":0}', '{"n":3}', '{"n":4}'])
    await first.close()
    expect(await lookAt(topics)).toEqual({ start: 0, removed: ['removed/1-3'] })
    expect(await counts()).toEqual([3])

    const second = await openStore(topics)
    expect((await all(second)).map(textOf)).toEqual(['{"n":0}', '{"n":3}', '{"n":4}'])
    expect((await all(second)).map(({ id }) => id).slice(0, 2)).toEqual([zero?.id, three?.id])
    await second.replace([zero?.id ?? 0], [])
    await second.close()
    expect(await lookAt(topics)).toEqual({ start: 3, removed: [] })
    expect(await counts()).toEqual([2])
    // A collector that begins now counts the same.
    expect((await (await topics.open()).snapshot()).outputs).toMatchObject([{ name: 'a', deadLetters: 2 }])
  })

  test('that are what stood in the place of events, or of dead letters, are listed, and not sent again', async () => {
    const { topics, buffer, start } = await collectorWith([])
    await topics.produce([{ partition: 0, key: Buffer.from('k'), value: Buffer.from('{"plain":"json"}') }])
    const producer = new RecordProducer(topics.client)
    onTestFinished(() => producer.close())
    await producer.send([{ topic: `${topics.prefix}.dead-letter`, partition: 0, records: [{ key: Buffer.from('k'), value: Buffer.from('{"no":"letter"}') }] }])
    const stream = buffer.read('a', { from: start, maxEvents: 10, maxBytes: 1e6, signal: new AbortController().signal })
    await stream.resume().toArray()
    await buffer.commit('a', stream.cursor, [])
    const letters = await all(await openStore(topics))
    expect(letters.map((letter) => [letter.output, textOf(letter), whyNoRetry(letter)])).toEqual([
      [null, '{"no":"letter"}', expect.stringContaining('cannot be known')],
      ['a', '{"plain":"json"}', expect.stringContaining('cannot be known')],
    ])
    expect(letters[1]?.reason).toMatch(/^record 0 of partition 0 of .*\.events is no event/)
  })

  test('of the source have a limit as well: then nothing is fetched until they are dropped', async () => {
    const { topics, buffer } = await collectorWith(Array.from({ length: DEAD_LETTERS_MAX }, () => ['x', null] as const))
    await buffer.assertRoom()
    const append = () => buffer.append(unitOf({ deadLetters: [deadLetterOf('[]', null)] }))
    const refused = await append().catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(RetryableError)
    expect(String(refused)).toMatch(/the source has refused so many.*Fetching waits/)
    // Found out before the API is asked again, whose requests are counted.
    await expect(buffer.assertRoom()).rejects.toThrow('the source has refused so many')
    // What has no dead letter may go on.
    await buffer.append(unitOf({ chunks: [['{"n":1}']] }))
    const store = await openStore(topics)
    const ids = (await all(store)).map(({ id }) => id)
    await store.replace(ids, [])
    await store.close()
    await buffer.assertRoom()
    await append()
    expect((await buffer.snapshot()).sourceDeadLetters).toBe(1)
  })

  test('tell what is known of the event, the window that brought it as well, also when it is refused once more', async () => {
    const { topics, buffer, start } = await collectorWith([])
    const unit = unitOf({ chunks: [['{"n":1}']], pulledAt: 1_000, environment: 'prod' })
    await buffer.append(unit)
    await buffer.append(unitOf({ chunks: [['{"n":2}']], pulledAt: 1_000, environment: 'prod', window: { from: 5, to: 6 } }))
    await deliverTo(refusing, buffer, start)
    const store = await openStore(topics)
    const known = { inputId: unit.inputId, service: unit.service, pulledAt: 1_000, environment: 'prod', output: 'a', reason: 'no', size: 7 }
    // The partition of an event is by its fingerprint.
    const both = (await all(store)).sort((a, b) => (a.window?.from ?? 0) - (b.window?.from ?? 0))
    const windows = [unit.window, { from: 5, to: 6 }].sort((a, b) => a.from - b.from)
    expect(both).toMatchObject(windows.map((window) => ({ ...known, window })))
    const letters = new LettersToRetry(store, both.map(({ id }) => id).sort((a, b) => a - b))
    await deliverTo(refusing, letters, letters.start)
    const again = (await all(store)).sort((a, b) => (a.window?.from ?? 0) - (b.window?.from ?? 0))
    expect(again).toMatchObject(windows.map((window) => ({ ...known, window })))
    expect(Math.min(...again.map(({ id }) => id))).toBeGreaterThan(Math.max(...both.map(({ id }) => id)))
  })

  test.each(['the collector', 'hand'])('of a topic that was deleted hide nothing in the one that is made anew by %s, and it is said', async (by) => {
    const { topics, buffer } = await collectorWith([['{"n":0}', 'a'], ['{"n":1}', 'a']])
    const first = await openStore(topics)
    await first.replace([(await all(first))[1]?.id ?? 0], [])
    await first.close()
    await buffer.close()
    const admin = topics.client.admin()
    await admin.connect()
    const topic = `${topics.prefix}.dead-letter`
    await admin.deleteTopics({ topics: [topic] })
    if (by === 'hand') await vi.waitFor(() => admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries: LETTER_SETTINGS }], waitForLeaders: true }), { timeout: 10_000 })
    await admin.disconnect()
    const told: string[] = []
    const next = await topics.open({ log: pino({}, { write: (line: string) => void told.push(line) }) })
    if (by === 'hand') expect((await next.snapshot()).outputs).toMatchObject([{ deadLetters: 0 }])
    const start = (await openShares(next, [{ name: 'a', startFrom: 'oldest' }])).get('a')?.cursor ?? ''
    await next.commit('a', start, [deadLetterOf('{"n":2}', 'a'), deadLetterOf('{"n":3}', 'a')])
    expect((await all(await openStore(topics))).map(textOf)).toEqual(['{"n":2}', '{"n":3}'])
    expect((await next.snapshot()).outputs).toMatchObject([{ deadLetters: 2 }])
    expect((await lookAt(topics)).removed).toEqual([])
    expect(told.filter((line) => line.includes(`${topic} had been deleted`))).toHaveLength(1)
  })
})
