import { randomUUID } from 'node:crypto'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { InputWriter } from '../../../src/buffers/kafka/input-writer.ts'
import { StateLog } from '../../../src/buffers/kafka/state-log.ts'
import { Topics, topicSpecs } from '../../../src/buffers/kafka/topics.ts'
import { PartitionReader } from '../../../src/kafka/partition-reader.ts'
import { ensureTopics } from '../../../src/kafka/topics.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import { unitOf, INPUT } from '../../contract/buffer-units.ts'
import { ADD_PARTITIONS_TO_TXN, startProxy } from '../../kafka/kafka-proxy.ts'
import { clientOf, never, readTo, values } from '../../kafka/partition-reader-support.ts'
import { describeKafka, sharedBroker } from '../../support/kafka.ts'

const [MINE, OTHER] = ['clicksBlocked', 'clicksPermitted'] as const

describeKafka('the writer of an input', () => {
  let broker: string
  beforeAll(async () => {
    broker = (await sharedBroker())[0] ?? ''
  })

  async function makeTopics(): Promise<Topics> {
    const topics = new Topics(`w${randomUUID()}`)
    const specs = topicSpecs(topics, { prefix: '', partitions: 1, replicationFactor: null, retentionMs: 3_600_000 })
    await ensureTopics(clientOf([broker]), specs, { create: true })
    return topics
  }

  function writerOf(topics: Topics, brokers: readonly string[] = [broker]): InputWriter {
    const client = clientOf(brokers)
    const reader = new PartitionReader(client, topics.state)
    const stateLog = new StateLog(reader, systemClock, never)
    const writer = new InputWriter({
      client, topics, inputId: INPUT, stateLog, compression: 'none', eventPartitions: [0], beginsAnew: false, lost: never, onFenced: () => undefined,
    })
    onTestFinished(async () => {
      await writer.close()
      await reader.close()
    })
    return writer
  }

  async function eventsOf(topics: Topics): Promise<number> {
    const reader = new PartitionReader(clientOf([broker]), topics.events)
    onTestFinished(() => reader.close())
    const { records } = await readTo(reader, (await reader.offsets('latest')).get(0) ?? 0)
    return values(records).length
  }

  test('that has lost its connection writes nothing of a service that another one has moved on meanwhile, before it is loaded again', async () => {
    const topics = await makeTopics()
    const proxy = await startProxy(broker)
    const woken = writerOf(topics, proxy.brokers)
    for (const service of [MINE, OTHER]) await woken.startService(service, 1, null)
    await woken.append(unitOf({ service: MINE, chunks: [['{"n":1}']] }))

    const owner = writerOf(topics)
    for (const service of [MINE, OTHER]) await owner.loadService(service)
    await owner.append(unitOf({ service: MINE, chunks: [['{"n":2}']], position: { settled: 2 } }))

    proxy.fate = (apiKey) => (apiKey === ADD_PARTITIONS_TO_TXN ? 'lose' : 'pass')
    await expect(woken.append(unitOf({ service: OTHER, chunks: [['{"n":3}']] }))).rejects.toThrow(RetryableError)
    proxy.fate = () => 'pass'
    await expect(woken.append(unitOf({ service: MINE, chunks: [['{"n":2}']], position: { settled: 2 } }))).rejects.toThrow('its state is read again first')
    expect(await woken.loadService(MINE)).toMatchObject({ settled: 2 })
    await woken.append(unitOf({ service: MINE, chunks: [['{"n":4}']], position: { settled: 3 } }))
    expect(await eventsOf(topics)).toBe(3)
  })

  test('that has lost its connection goes on with a service that nobody has moved', async () => {
    const topics = await makeTopics()
    const proxy = await startProxy(broker)
    const writer = writerOf(topics, proxy.brokers)
    for (const service of [MINE, OTHER]) await writer.startService(service, 1, null)
    const seen = { window: { from: 0, to: 1 }, fingerprints: new Uint8Array(16) }
    await writer.append(unitOf({ service: MINE, chunks: [['{"n":1}']], position: { seen, holes: [{ from: 1, to: 2, since: 3, triedAt: 4, reason: 'HTTP 500' }] } }))
    proxy.fate = (apiKey) => (apiKey === ADD_PARTITIONS_TO_TXN ? 'lose' : 'pass')
    await expect(writer.append(unitOf({ service: OTHER, chunks: [['{"n":2}']] }))).rejects.toThrow(RetryableError)
    proxy.fate = () => 'pass'
    await writer.append(unitOf({ service: MINE, chunks: [['{"n":3}']], position: { settled: 2 } }))
    expect(await eventsOf(topics)).toBe(2)
  })
})
