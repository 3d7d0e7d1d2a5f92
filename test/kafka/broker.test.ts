import { randomUUID } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { createKafkaClient, type KafkaConnection } from '../../src/kafka/client.ts'
import { startBroker, type BrokerOptions, type TestBroker } from '../support/kafka-broker.ts'
import { describeKafka, describeOwnBroker, sharedBroker } from '../support/kafka.ts'

const log = pino({ level: 'silent' })
/** What `startBroker` gives a broker, and half as much for what is done with it. */
const START_MS = 90_000

async function topicsOf(connection: KafkaConnection, create?: string): Promise<string[]> {
  const admin = createKafkaClient(connection, log).admin()
  await admin.connect()
  try {
    if (create !== undefined) await admin.createTopics({ topics: [{ topic: create, numPartitions: 1 }], waitForLeaders: true })
    return await admin.listTopics()
  } finally {
    await admin.disconnect()
  }
}

async function started(options?: BrokerOptions): Promise<TestBroker> {
  const broker = await startBroker(options)
  onTestFinished(() => broker.dispose())
  return broker
}

/** A process that has ended and that nobody asked about yet still has a number. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  // Where there is no /proc, init has asked.
  return !existsSync('/proc/self/stat') || !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

describeKafka('the broker of the run', () => {
  test('is one for all who ask, and takes requests at once', async () => {
    const [brokers, again] = await Promise.all([sharedBroker(), sharedBroker()])
    expect(again).toEqual(brokers)
    const topic = `shared-${randomUUID()}`
    expect(await topicsOf({ brokers, ssl: false, sasl: null }, topic)).toContain(topic)
  }, START_MS)
})

describeOwnBroker('a broker of a test', () => {
  describe('that goes away', () => {
    let broker: TestBroker
    beforeAll(async () => {
      // The controller lets a killed broker back in when its session is over.
      broker = await startBroker({ properties: { 'broker.session.timeout.ms': '2000', 'broker.heartbeat.interval.ms': '500' } })
    })
    afterAll(() => broker.dispose())

    test.each(['SIGTERM', 'SIGKILL'] as const)('comes back with its data on the same port after %s, also when it was paused', async (signal) => {
      const { pid } = broker
      const topic = `kept-${signal}`
      await topicsOf(broker.connection, topic)
      broker.pause()
      await broker.stop(signal)
      expect(broker.pid).toBeNull()
      await broker.start()
      expect(broker.pid).not.toBe(pid)
      expect(await topicsOf(broker.connection)).toContain(topic)
    }, START_MS)

    test('answers nothing while it is paused, and everything afterwards', async () => {
      broker.pause()
      let isAnswered = false
      const topics = topicsOf(broker.connection, 'late').finally(() => (isAnswered = true))
      const state = (): string => readFileSync(`/proc/${broker.pid ?? 0}/stat`, 'utf8').replace(/^\d+ \(.*\) /, '').slice(0, 1)
      if (existsSync('/proc/self/stat')) await expect.poll(state).toBe('T')
      expect(isAnswered).toBe(false)
      broker.continue()
      expect(await topics).toContain('late')
    })
  })

  // SASL_SSL is what secure.test.ts has.
  test('with SASL alone lets in who has the user it tells, and nobody else', async () => {
    const { connection } = await started({ protocol: 'SASL_PLAINTEXT' })
    const { sasl } = connection
    if (sasl === null) throw new Error('it demands nothing')
    for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'] as const) expect(await topicsOf({ ...connection, sasl: { ...sasl, mechanism } })).toEqual([])
    await expect(topicsOf({ ...connection, sasl: { ...sasl, password: 'wrong' } })).rejects.toThrow(/auth/i)
  }, START_MS)

  test('with TLS lets in who has its authority, and where it asks for a certificate one that this has signed', async () => {
    const { connection, authority } = await started({ protocol: 'SSL', properties: { 'ssl.client.auth': 'required' } })
    const { certPem: cert, keyPem: key } = (await authority?.issue({ commonName: 'client', client: true })) ?? { certPem: '', keyPem: '' }
    expect(await topicsOf({ ...connection, ssl: { ...connection.ssl, cert, key } })).toEqual([])
    await Promise.all([
      expect(topicsOf(connection)).rejects.toThrow(),
      expect(topicsOf({ ...connection, ssl: { cert, key } })).rejects.toThrow(/certificate/),
    ])
  }, START_MS)

  test('that cannot start says what Kafka said, and leaves nothing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tap-no-broker-'))
    vi.stubEnv('TMPDIR', folder)
    onTestFinished(async () => {
      vi.unstubAllEnvs()
      await rm(folder, { recursive: true })
    })
    await expect(startBroker({ properties: { 'log.retention.hours': 'many' } })).rejects.toThrow(/log\.retention\.hours/)
    expect(readdirSync(folder).filter((name) => name.startsWith('tap-kafka-'))).toEqual([])
  }, START_MS)

  test('ends with the process that started it, kill -9 included, and so does its folder', async () => {
    const module = new URL('../support/kafka-broker.ts', import.meta.url).href
    const program = `const { pid, dir } = await (await import('${module}')).startBroker(); console.log(JSON.stringify({ pid, dir }))`
    const owner = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void owner.kill('SIGKILL'))
    const failed = once(owner, 'exit').then(() => Promise.reject(new Error('it ended before it had a broker')))
    const [line] = (await Promise.race([once(createInterface(owner.stdout), 'line'), failed])) as [string] // readline's only argument
    failed.catch(() => undefined)
    const { pid, dir } = JSON.parse(line) as Pick<TestBroker, 'dir'> & { pid: number } // as the program above writes it
    expect([isRunning(pid), existsSync(dir)]).toEqual([true, true])
    owner.kill('SIGKILL')
    await expect.poll(() => isRunning(pid) || existsSync(dir), { timeout: 10_000 }).toBe(false)
  }, START_MS)
})
