import { pino } from 'pino'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { openBuffer } from '../../src/commands/buffer.ts'
import { formatProblems } from '../../src/config/load.ts'
import { systemClock } from '../../src/pipeline/clock.ts'
import { outcomeOfText } from '../config/setup.ts'
import { numbered, openShares, readShipment, unitOf } from '../contract/buffer-units.ts'
import { startBroker, type TestBroker } from '../support/kafka-broker.ts'
import { describeOwnBroker } from '../support/kafka.ts'
import { propertiesOf, service, textOf } from './compose.ts'

const ENV = { TAP_PRINCIPAL: 'principal', TAP_SECRET: 'secret', KAFKA_PASSWORD: 'password' }
const example = textOf('config/config.kafka.example.yaml')
const filled = example.replaceAll(/<([^<>]+)>/g, '$1')

/** What names hosts, ports and folders of the container is the test's own. */
const CONTAINER = ['listeners', 'advertised.listeners', 'controller.quorum.voters', 'log.dirs']

test('the configuration for it is found out by its placeholders alone', async () => {
  const { problems } = await outcomeOfText(example, { env: ENV })
  expect(problems.map(({ path }) => path)).toEqual([
    'outputs.devo_1.config.address',
    'outputs.devo_1.config.cert',
    'outputs.devo_1.config.key',
    'inputs.proofpoint_tap.id',
  ])
})

test('it is a good one once they are replaced, also with what is commented out, and names the broker by its own name', async () => {
  const { loaded } = await outcomeOfText(filled, { env: ENV })
  expect(loaded?.warnings).toEqual([])
  const advertised = propertiesOf(service('docker-compose.yml', 'kafka'))['advertised.listeners']
  expect(loaded?.config.buffer).toMatchObject({ type: 'kafka', brokers: [advertised?.replace('CLIENT://', '')], ssl: false, sasl: null })

  const everything = await outcomeOfText(filled.replaceAll(/^( {4})# (?=(?: {2})?[a-z_]+:)/gm, '$1'), { env: ENV })
  expect(formatProblems(everything.problems)).toBe('')
  expect(everything.loaded?.config.buffer).toMatchObject({
    ssl: { key: expect.stringMatching(/certs\/kafka\.key$/) as unknown }, // a matcher, which has no type of its own
    sasl: { mechanism: 'scram-sha-512', username: 'tap', password: 'password' },
    replicationFactor: 3,
  })
})

describeOwnBroker('with Java', () => {
  let broker: TestBroker
  beforeAll(async () => {
    const properties = Object.entries(propertiesOf(service('docker-compose.yml', 'kafka'))).filter(([name]) => !CONTAINER.includes(name))
    broker = await startBroker({ properties: Object.fromEntries(properties) })
  })
  afterAll(() => broker.dispose())

  test('the broker starts with its settings and carries the buffer', async () => {
    const { loaded } = await outcomeOfText(filled.replace('["kafka:9092"]', JSON.stringify(broker.brokers)), { env: ENV })
    if (loaded === null) throw new Error('the example is wrong')
    const buffer = await openBuffer(loaded.config, { clock: systemClock, log: pino({ level: 'silent' }) })
    onTestFinished(() => buffer.close())
    await buffer.ownInputs(new AbortController().signal)
    const from = (await openShares(buffer, [{ name: 'devo_1', startFrom: 'now' }])).get('devo_1')?.cursor ?? ''
    await buffer.append(unitOf({ chunks: [numbered(0, 3)] }))
    expect((await readShipment(buffer, 'devo_1', from)).events.toSorted()).toEqual(numbered(0, 3))
  })
})
