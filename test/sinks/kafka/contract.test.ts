import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import kafkajs from 'kafkajs'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createKafkaClient, type KafkaClient } from '../../../src/kafka/client.ts'
import { TopicProducer } from '../../../src/kafka/topic-producer.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { makeAuthority } from '../../../src/simulator/certificates.ts'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import type { KafkaOutputConfig } from '../../../src/sinks/kafka/config.ts'
import { createKafkaSink } from '../../../src/sinks/kafka/sink.ts'
import { batchesOf } from '../../contract/batches.ts'
import { shipAll, sinkContract, type SinkHarness } from '../../contract/sink-suite.ts'
import { makeTopic } from '../../kafka/partition-reader-support.ts'
import { startBroker, type TestBroker } from '../../support/kafka-broker.ts'
import { describeOwnBroker } from '../../support/kafka.ts'
import { configOf, recordsIn, sinkOf, temporaryFolder, valuesIn } from './support.ts'

const never = new AbortController().signal
const WRONG_PASSWORD = 'wrong-hunter3'
const ADMIN = { mechanism: 'scram-sha-512', username: 'admin', password: 'admin-secret' } as const
const OUTPUT = { mechanism: 'scram-sha-512', username: 'output', password: 'output-secret' } as const

describeOwnBroker('an output to a broker that demands TLS, SASL and rights', () => {
  let broker: TestBroker
  let admin: KafkaClient
  let topic: string
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line) => void lines.push(line) })

  beforeAll(async () => {
    broker = await startBroker({
      protocol: 'SASL_SSL',
      scram: [ADMIN, OUTPUT].map(({ username, password }) => `SCRAM-SHA-512=[name=${username},password=${password}]`),
      // Who asks over the other listeners has no name.
      properties: { 'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer', 'super.users': 'User:ANONYMOUS;User:admin' },
    })
    admin = createKafkaClient({ ...broker.connection, sasl: ADMIN }, log)
    topic = await makeTopic(admin)
  })

  afterAll(async () => {
    await broker.dispose()
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.filter((line) => [OUTPUT.password, WRONG_PASSWORD].some((secret) => line.includes(secret)))).toEqual([])
  })

  /** With the authority in a file, as in a configuration. */
  function config(sasl: KafkaOutputConfig['sasl'], more: { readonly dir?: string; readonly topic?: string; readonly authority?: string } = {}): KafkaOutputConfig {
    const dir = more.dir ?? temporaryFolder()
    writeFileSync(join(dir, 'ca.crt'), more.authority ?? broker.authority?.certPem ?? '')
    return configOf(broker.brokers, more.topic ?? topic, { ssl: { ca: join(dir, 'ca.crt'), cert: null, key: null }, sasl })
  }

  /** Adds or takes away a rule about the output's user. */
  async function rule(change: 'add' | 'remove', permission: 'ALLOW' | 'DENY', operation: 'DESCRIBE' | 'WRITE', name = topic): Promise<void> {
    const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs
    const entry = {
      resourceType: AclResourceTypes.TOPIC,
      resourceName: name,
      principal: `User:${OUTPUT.username}`,
      host: '*',
      operation: AclOperationTypes[operation],
      permissionType: AclPermissionTypes[permission],
    }
    const connected = admin.admin()
    await connected.connect()
    try {
      if (change === 'add') await connected.createAcls({ acl: [{ ...entry, resourcePatternType: ResourcePatternTypes.LITERAL }] })
      else await connected.deleteAcls({ filters: [{ ...entry, resourcePatternType: ResourcePatternTypes.LITERAL }] })
    } finally {
      await connected.disconnect()
    }
  }

  const PROBE = Buffer.from('probe')

  /** Asks by writing itself: a change of the rules takes the broker a moment. */
  async function untilWriting(name: string, expected: 'works' | 'fails'): Promise<void> {
    const connection = { ...broker.connection, sasl: OUTPUT }
    const probe = new TopicProducer(async () => createKafkaClient(connection, log), { topic: name, compression: 'none', clock: systemClock })
    try {
      await vi.waitFor(async () => expect(await probe.send(PROBE, [PROBE]).then(() => 'works', () => 'fails')).toBe(expected), { timeout: 10_000 })
    } finally {
      probe.close()
    }
  }

  async function harness(): Promise<SinkHarness> {
    const name = await makeTopic(admin, 3)
    await rule('add', 'ALLOW', 'WRITE', name)
    await untilWriting(name, 'works')
    const dir = mkdtempSync(join(tmpdir(), 'tap-kafka-output-'))
    return {
      createSink: () => createKafkaSink(config(OUTPUT, { dir, topic: name }), { name: 'kafka_1', clock: systemClock, log }),
      received: async () => {
        const records = (await recordsIn(admin, name)).flat()
        return records.filter(({ key }) => key?.equals(PROBE) !== true).map(({ value }) => value?.toString() ?? 'null')
      },
      faults: [{
        name: 'forbids writing', effect: 'fails',
        begin: async () => {
          await rule('add', 'DENY', 'WRITE', name)
          await untilWriting(name, 'fails')
        },
        heal: async () => {
          await rule('remove', 'DENY', 'WRITE', name)
          await untilWriting(name, 'works')
        },
      }],
      close: async () => rmSync(dir, { recursive: true }),
    }
  }

  sinkContract('kafka', harness, ['forbids writing'])

  test('what a person must mend is waited for, and told with the place in the YAML', async () => {
    const other = await makeAuthority({ commonName: 'Another' })
    const faults = [
      [config({ ...OUTPUT, password: WRONG_PASSWORD }), /authentication failed.*Check outputs\.kafka_1\.config\.sasl$/i],
      [config(OUTPUT, { authority: other.certPem }), /certificate.*Check outputs\.kafka_1\.config\.ssl$/],
      [{ ...config(OUTPUT), ssl: false }, /has closed the connection.*check outputs\.kafka_1\.config\.ssl and outputs\.kafka_1\.config\.sasl$/],
    ] as const
    for (const [wrong, message] of faults) {
      const error: unknown = await sinkOf(wrong, log).check(never).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(RetryableError)
      expect(String(error)).toMatch(message)
      expect(JSON.stringify([String(error), error])).not.toContain(WRONG_PASSWORD)
    }
  })

  test('without a right it waits and says so; with it, it goes on', async () => {
    const sink = sinkOf(config(OUTPUT), log)
    expect(String(await sink.check(never).catch((error: unknown) => error))).toMatch(/may not see it|needs Write and Describe/)
    await rule('add', 'ALLOW', 'DESCRIBE')
    await vi.waitFor(() => sink.check(never), { timeout: 10_000 })
    const error: unknown = await shipAll(sink, batchesOf('a', 1).batches).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RetryableError)
    expect(String(error)).toContain('needs Write and Describe on this topic')
    await rule('add', 'ALLOW', 'WRITE')
    await untilWriting(topic, 'works')
    await shipAll(sink, batchesOf('a', 1).batches)
    expect((await valuesIn(admin, topic)).filter((value) => value !== PROBE.toString())).toHaveLength(1)
  })
})
