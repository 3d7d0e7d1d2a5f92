import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, onTestFinished, test, type TestContext } from 'vitest'
import { eventKey, tapEventEncoder } from '../../src/buffers/kafka/tap-event.ts'
import { createKafkaClient, type KafkaClient } from '../../src/kafka/client.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'

const EXAMPLE = fileURLToPath(new URL('../../examples/read-events.py', import.meta.url))
const PACKAGES = ['kafka-python>=2.2', 'fastavro>=1.9']
const INSTALL_TIMEOUT_MS = 120_000

const PULL = { inputId: '12345', service: 'messagesDelivered', pulledAt: 1_764_000_000_123, environment: 'prod' }
const EVENTS = [
  Buffer.from('{"GUID":"1","n":12345678901234567890,"x":0.0}'),
  Buffer.from('{"GUID":"2","subject":"pr\u00f6d \u{1f600} \\u0000"}'),
  Buffer.from(`{"GUID":"3","x":"${'x'.repeat(20_000)}"}`),
  Buffer.from('7b2247554944223a22ff80227d', 'hex'), // {"GUID":"..."} with bytes that are not UTF-8
]

describeKafka('examples/read-events.py', () => {
  let packages = ''
  let problem: string | null = null
  let brokers: string[] = []
  let kafka: KafkaClient

  beforeAll(async () => {
    packages = await mkdtemp(join(tmpdir(), 'tap-python-'))
    try {
      const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', packages, ...PACKAGES]
      await promisify(execFile)('python3', install, { timeout: INSTALL_TIMEOUT_MS })
    } catch (error) {
      problem = String(error)
      console.warn(`SKIPPED: the tests of ${EXAMPLE}, for Python 3 with pip could not install ${PACKAGES.join(' and ')}: ${problem}`)
      return
    }
    brokers = [...(await sharedBroker())]
    kafka = createKafkaClient({ brokers, ssl: false, sasl: null }, pino({ level: 'silent' }))
  }, INSTALL_TIMEOUT_MS + 60_000)

  afterAll(() => rm(packages, { recursive: true, force: true }))

  /** A topic with these values, each committed or taken back in a transaction of its own. */
  async function topicOf(transactions: readonly { readonly values: readonly Buffer[]; readonly commit: boolean }[]): Promise<string> {
    const topic = `x${randomUUID()}`
    const admin = kafka.admin()
    const producer = kafka.producer({ transactionalId: topic, maxInFlightRequests: 1, idempotent: true })
    try {
      await Promise.all([admin.connect(), producer.connect()])
      await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true })
      for (const { values, commit } of transactions) {
        const transaction = await producer.transaction()
        const messages = values.map((value, index) => ({ key: eventKey(PULL.inputId, PULL.service, Buffer.alloc(16, index)), value }))
        await transaction.send({ topic, messages })
        await (commit ? transaction.commit() : transaction.abort())
      }
    } finally {
      await Promise.all([admin.disconnect(), producer.disconnect()])
    }
    return topic
  }

  function start(topic: string) {
    const child = spawn('python3', [EXAMPLE, brokers.join(','), topic, `g${topic}`], {
      env: { ...process.env, PYTHONPATH: packages },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    onTestFinished(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'close')
    })
    return child
  }

  function records(events: readonly Uint8Array[]): Buffer[] {
    const encode = tapEventEncoder(PULL, { from: 1_763_999_700_000, to: 1_764_000_000_000 })
    return events.map((event, index) => encode(Buffer.alloc(16, index), event))
  }

  function skipWithoutPackages(context: TestContext): void {
    context.skip(problem !== null, problem ?? '')
  }

  test('prints what was committed, byte for byte, and nothing that was taken back', async (context) => {
    skipWithoutPackages(context)
    const topic = await topicOf([
      { values: records([Buffer.from('{"GUID":"taken back"}')]), commit: false },
      { values: records(EVENTS.slice(0, 2)), commit: true },
      { values: records([Buffer.from('{"GUID":"taken back, too"}')]), commit: false },
      { values: records(EVENTS.slice(2)), commit: true },
    ])
    const head = Buffer.from('messagesDelivered\t2025-11-24T16:00:00.123000+00:00\t')
    const expected = Buffer.concat(EVENTS.flatMap((event) => [head, event, Buffer.from('\n')]))
    const child = start(topic)
    let errors = ''
    child.stderr.on('data', (text: Buffer) => void (errors += text.toString()))
    let printed = Buffer.alloc(0)
    for await (const part of child.stdout) {
      printed = Buffer.concat([printed, part as Buffer]) // a stream without an encoding gives Buffers
      if (printed.length >= expected.length) break
    }
    expect(printed.equals(expected), `${printed.toString().slice(0, 500)}\n${errors}`).toBe(true)
  }, 60_000)

  test('ends with a word about what it cannot read', async (context) => {
    skipWithoutPackages(context)
    const child = start(await topicOf([{ values: [Buffer.from('{"GUID":"not Avro"}')], commit: true }]))
    let errors = ''
    child.stderr.on('data', (text: Buffer) => void (errors += text.toString()))
    const [code] = (await once(child, 'close')) as [number | null] // as the event is documented
    expect(errors).toContain('record 0 of partition 0 was not written with this schema')
    expect(code).toBe(1)
  }, 60_000)
})
