import { pino } from 'pino'
import { expect, test } from 'vitest'
import { Topics as TopicNames } from '../../../src/buffers/kafka/topics.ts'
import { warnOfRetention } from '../../../src/buffers/kafka/retention.ts'
import { createKafkaClient } from '../../../src/kafka/client.ts'
import { DESCRIBE_CONFIGS, startProxy } from '../../kafka/kafka-proxy.ts'
import { describeKafka, sharedBroker } from '../../support/kafka.ts'
import { makeTopics, readableLog, type Topics } from './reading.ts'

const HOUR_MS = 3_600_000
/** The broker's own default. */
const OFFSETS_HOURS = 168

/** What a start warns of, where the topics were made with one retention and the configuration has another. */
async function warnings(madeMs: number, configuredMs = madeMs, lettersMs?: number): Promise<string[]> {
  const topics = await makeTopics({ retentionMs: madeMs })
  if (lettersMs !== undefined) await makeLetters(topics, lettersMs)
  await (await topics.open()).close()
  const { log, lines } = readableLog()
  const buffer = await topics.open({ log, retentionMs: configuredMs })
  for (let time = 0; time < 2; time += 1) await buffer.openOutputs([{ name: 'a', startFrom: 'now' }])
  return lines.filter(({ level }) => level >= 40).map(({ msg }) => msg.replaceAll(topics.prefix, 'PREFIX'))
}

/** As one that a person, or the broker, has made. */
async function makeLetters({ client, prefix }: Topics, retentionMs: number): Promise<void> {
  const admin = client.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: `${prefix}.dead-letter`, numPartitions: 1, configEntries: [{ name: 'retention.ms', value: String(retentionMs) }] }] })
  await admin.disconnect()
}

describeKafka('at the start', () => {
  test('nothing is said where events are kept as configured, and offsets as long as they', async () => {
    expect(await warnings(OFFSETS_HOURS * HOUR_MS)).toEqual([])
  })

  test('events that outlive the offsets of an idle group are told once, with what to do', async () => {
    const [told, ...others] = await warnings((OFFSETS_HOURS + 24) * HOUR_MS)
    expect(told).toContain('PREFIX.events keeps events for 192 h, and the brokers forget after 168 h')
    expect(told).toContain('Raise that setting of the brokers to 11520')
    expect(others).toEqual([])
  })

  test('a topic that keeps events for ever too', async () => {
    const told = await warnings(-1, HOUR_MS)
    expect(told).toHaveLength(2)
    expect(told[0]).toContain('keeps events for ever, and buffer.config.retention_in_hours says 1;')
    expect(told[1]).toContain('keeps events for ever, and the brokers forget after 168 h')
  })

  test('a topic whose own retention is another one is told, with the command', async () => {
    const [told, ...others] = await warnings(HOUR_MS, 2 * HOUR_MS)
    expect(told).toContain('PREFIX.events keeps events for 1 h, and buffer.config.retention_in_hours says 2')
    expect(told).toContain('--alter --topic PREFIX.events --add-config retention.ms=7200000')
    expect(others).toEqual([])
  })

  test('a topic that loses dead letters by itself is told, with the command', async () => {
    const [told, ...others] = await warnings(OFFSETS_HOURS * HOUR_MS, OFFSETS_HOURS * HOUR_MS, 24 * HOUR_MS)
    expect(told).toContain('PREFIX.dead-letter keeps dead letters for 24 h and then loses them')
    expect(told).toContain('--alter --topic PREFIX.dead-letter --add-config retention.ms=-1')
    expect(others).toEqual([])
  })

  test('what is not answered holds up nothing', async () => {
    const topics = await makeTopics({ retentionMs: -1 })
    await (await topics.open()).close()
    const proxy = await startProxy((await sharedBroker())[0] ?? '')
    proxy.fate = (apiKey) => (apiKey === DESCRIBE_CONFIGS ? 'lose' : 'pass')
    const client = createKafkaClient({ brokers: proxy.brokers, ssl: false, sasl: null }, pino({ level: 'silent' }))
    const { log, lines } = readableLog()
    await warnOfRetention({ client, topics: new TopicNames(topics.prefix), retentionMs: HOUR_MS, log })
    expect(lines).toMatchObject([{ level: 20, msg: expect.stringContaining('is not known: asking for the settings of') as string }])
  })
})
