import { randomUUID } from 'node:crypto'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { openKafkaBuffer } from '../../../src/buffers/kafka/kafka.ts'
import { openKafkaReplay } from '../../../src/buffers/kafka/replay.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { numbered, textsOf } from '../../contract/buffer-units.ts'
import { replayContract } from '../../contract/replay-suite.ts'
import { describeKafka, sharedBroker } from '../../support/kafka.ts'
import { makeTopics, readableLog } from './reading.ts'

const pulled = { from: -Infinity, to: Infinity }

describeKafka('with a real broker', () => {
  let brokers: readonly string[] = []
  beforeAll(async () => {
    brokers = await sharedBroker()
  })

  const make = () => {
    const { log, lines } = readableLog()
    const options = { connection: { brokers, ssl: false as const, sasl: null }, prefix: `t${randomUUID()}`, partitions: 3, replicationFactor: null, retentionMs: 3_600_000, clock: systemClock, log }
    return { options, lines, open: () => openKafkaBuffer({ ...options, compression: 'none', createTopics: true }) }
  }

  replayContract('the Kafka buffer', async () => {
    const { options, open } = make()
    return {
      open: async () => {
        const buffer = await open()
        await buffer.ownInputs(new AbortController().signal)
        return buffer
      },
      replay: (range) => openKafkaReplay({ ...options, pulled: range }),
    }
  })

  test('where no collector has made the topics there is none', async () => {
    expect(await openKafkaReplay({ ...make().options, pulled })).toBeNull()
  })

  test('what is no event is passed over, and what retention takes is missed', async () => {
    const topics = await makeTopics()
    await topics.append(numbered(0, 30))
    await topics.produce([{ partition: 0, key: null, value: Buffer.from('no event') }])
    const { options, lines } = make()
    const store = await openKafkaReplay({ ...options, prefix: topics.prefix, pulled })
    if (store === null) throw new Error('the topics are there')
    onTestFinished(() => store.close())
    const events = async () => {
      const found: string[] = []
      const { signal } = new AbortController()
      for await (const { batch } of store.steps({ from: store.begin, to: store.end, isWanted: () => true, maxEvents: 100, signal })) if (batch !== null) found.push(...textsOf(batch))
      return found
    }
    for (let time = 0; time < 2; time += 1) expect((await events()).toSorted()).toEqual(numbered(0, 30).toSorted())
    expect(lines.filter(({ msg }) => msg.includes('is no event and is not sent again'))).toHaveLength(1)
    expect(store.missed).toBe(false)
    await topics.deleteBefore(new Map([[0, 10]]))
    const left = await events()
    expect(left).toEqual(numbered(30 - left.length, left.length))
    expect(left.length).toBeLessThan(30)
    expect(store.missed).toBe(true)
  })

  test('what it holds is found behind a transaction that a kill has left behind and behind what is no event, however large they are', async () => {
    const topics = await makeTopics()
    await (await topics.open()).close()
    const padding = Buffer.alloc(10_000)
    const producer = topics.client.producer({ transactionalId: randomUUID(), maxInFlightRequests: 1, idempotent: true })
    onTestFinished(() => producer.disconnect())
    await producer.connect()
    const killed = await producer.transaction()
    for (let n = 0; n < 2; n += 1) await killed.send({ topic: `${topics.prefix}.events`, messages: Array.from({ length: 10 }, () => ({ value: padding })) })
    await killed.abort()
    await topics.produce(Array.from({ length: 10 }, () => ({ partition: 0, key: null, value: padding })))
    await topics.append(numbered(0, 5))
    const store = await openKafkaReplay({ ...make().options, prefix: topics.prefix, pulled })
    if (store === null) throw new Error('the topics are there')
    onTestFinished(() => store.close())
    expect(store.oldestPull).not.toBeNull()
  })
})
