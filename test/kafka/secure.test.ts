import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openKafkaBuffer } from '../../src/buffers/kafka/kafka.ts'
import { createKafkaClient, type KafkaConnection } from '../../src/kafka/client.ts'
import { ensureTopics } from '../../src/kafka/topics.ts'
import { TransactionalProducer } from '../../src/kafka/transactional-producer.ts'
import { systemClock } from '../../src/pipeline/clock.ts'
import { FatalError, RetryableError } from '../../src/pipeline/errors.ts'
import { makeAuthority } from '../../src/simulator/certificates.ts'
import { numbered, openShares, readShipment, unitOf } from '../contract/buffer-units.ts'
import { startBroker, type TestBroker } from '../support/kafka-broker.ts'
import { describeOwnBroker } from '../support/kafka.ts'

const MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const
const WRONG_PASSWORD = 'wrong-hunter3'

describeOwnBroker('a broker that demands TLS and SASL', () => {
  let broker: TestBroker
  let sasl: NonNullable<KafkaConnection['sasl']>
  let ca: string
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line) => void lines.push(line) })

  beforeAll(async () => {
    broker = await startBroker({ protocol: 'SASL_SSL' })
    if (broker.authority === null || broker.connection.sasl === null) throw new Error('the broker demands nothing')
    sasl = broker.connection.sasl
    ca = broker.authority.certPem
  })

  afterAll(async () => {
    await broker.dispose()
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.filter((line) => line.includes(sasl.password) || line.includes(WRONG_PASSWORD))).toEqual([])
  })

  /** By both kinds of connection: kafkajs's admin, and the wire. Gives what went wrong, which must say the same. */
  async function use(connection: Partial<KafkaConnection>): Promise<Error | null> {
    const client = createKafkaClient({ ...broker.connection, ...connection }, log)
    const topic = randomUUID()
    const producer = new TransactionalProducer(client, topic, { compression: 'none' })
    onTestFinished(() => producer.close())
    const problem = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))
    const spec = { name: topic, partitions: 1, replicationFactor: null, config: {}, mustMatch: [] }
    const made = await ensureTopics(client, [spec], { create: true }).then(() => null, problem)
    const written = await producer.commit([{ topic, partition: 0, records: [{ key: Buffer.from('k'), value: null }] }]).then(() => null, problem)
    expect(written?.constructor).toBe(made?.constructor)
    expect(written?.message.replace(/^.*? as \S+: /, '')).toBe(made?.message.replace(/^checking the topics: /, ''))
    return written
  }

  test.each(MECHANISMS)('%s lets in, whether the authority is text or bytes', async (mechanism) => {
    expect(await use({ sasl: { ...sasl, mechanism } })).toBeNull()
    expect(await use({ sasl: { ...sasl, mechanism }, ssl: { ca: Buffer.from(ca) } })).toBeNull()
  })

  test.each(MECHANISMS)('%s: a wrong password is told at once and as such, without it', async (mechanism) => {
    const error = await use({ sasl: { ...sasl, mechanism, password: WRONG_PASSWORD } })
    expect(error).toBeInstanceOf(FatalError)
    expect(error?.message).toMatch(/authentication failed.*Check buffer\.config\.sasl$/i)
    expect(JSON.stringify([error?.message, error?.stack, error?.cause])).not.toContain(WRONG_PASSWORD)
  })

  test('another authority leads to the setting', async () => {
    const other = await makeAuthority({ commonName: 'Another' })
    const error = await use({ ssl: { ca: other.certPem } })
    expect(error).toBeInstanceOf(RetryableError)
    expect(error?.message).toContain(`certificate (broker ${broker.brokers.join()}). Check buffer.config.ssl`)
  })

  test('a client without TLS is told to look at it', async () => {
    expect((await use({ ssl: false }))?.message).toContain('has closed the connection (broker 127.0.0.1:')
  })

  describe('and has the buffer', () => {
    const open = (connection: Partial<KafkaConnection>) =>
      openKafkaBuffer({
        connection: { ...broker.connection, ...connection },
        prefix: `s${randomUUID()}`,
        partitions: 2,
        replicationFactor: null,
        retentionMs: 3_600_000,
        compression: 'gzip',
        createTopics: true,
        clock: systemClock,
        log,
      })

    test.each(MECHANISMS)('%s: an event goes in and comes out', async (mechanism) => {
      const buffer = await open({ sasl: { ...sasl, mechanism } })
      onTestFinished(() => buffer.close())
      await buffer.ownInputs(AbortSignal.timeout(20_000))
      const share = (await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])).get('devo')
      await buffer.append(unitOf({ chunks: [numbered(0, 3)] }))
      const { events, cursor } = await readShipment(buffer, 'devo', share?.cursor ?? '')
      expect(events).toEqual(numbered(0, 3))
      await buffer.commit('devo', cursor, [])
    })

    test.each(MECHANISMS)('%s: a wrong password is told as such, without it', async (mechanism) => {
      const error: unknown = await open({ sasl: { ...sasl, mechanism, password: WRONG_PASSWORD } }).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(FatalError)
      expect(String(error)).toContain('buffer.config.sasl')
      expect(String(error)).not.toContain(WRONG_PASSWORD)
    })

    test('an authority that is not the broker\'s is told as such', async () => {
      const other = await makeAuthority({ commonName: 'Another' })
      await expect(open({ ssl: { ca: other.certPem } })).rejects.toThrow(/certificate/i)
    })
  })
})
