import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openKafkaBuffer } from '../../src/buffers/kafka/kafka.ts'
import type { KafkaConnection } from '../../src/kafka/client.ts'
import { systemClock } from '../../src/pipeline/clock.ts'
import { FatalError } from '../../src/pipeline/errors.ts'
import { makeAuthority } from '../../src/simulator/certificates.ts'
import { numbered, openShares, readShipment, unitOf } from '../contract/buffer-units.ts'
import { hasBroker, startBroker, type TestBroker } from '../support/kafka-broker.ts'

const PASSWORD = 'tap-hunter2'

describe.skipIf(!hasBroker() && process.env.CI === undefined)('a broker that demands TLS and SASL', () => {
  let broker: TestBroker
  let ca = ''
  let otherCa = ''
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })

  beforeAll(async () => {
    const [authority, other] = await Promise.all([makeAuthority({ commonName: 'Kafka authority' }), makeAuthority({ commonName: 'Another' })])
    const { chainPem, keyPem } = await authority.issue({ commonName: 'kafka' })
    ca = authority.certPem
    otherCa = other.certPem
    // A properties file has one line for each value.
    const inOneLine = (pem: string): string => pem.trim().replaceAll('\r', '').replaceAll('\n', '\\n')
    const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
    broker = await startBroker({
      protocol: 'SASL_SSL',
      scram: [`SCRAM-SHA-256=[name=tap,password=${PASSWORD}]`, `SCRAM-SHA-512=[name=tap,password=${PASSWORD}]`],
      properties: {
        'ssl.keystore.type': 'PEM',
        'ssl.keystore.certificate.chain': inOneLine(chainPem),
        'ssl.keystore.key': inOneLine(keyPem),
        'ssl.truststore.type': 'PEM',
        'ssl.truststore.certificates': inOneLine(ca),
        'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
        'sasl.mechanism.inter.broker.protocol': 'PLAIN',
        'listener.name.client.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required username="broker" password="b" user_broker="b" user_tap="${PASSWORD}";`,
        'listener.name.client.scram-sha-256.sasl.jaas.config': scram,
        'listener.name.client.scram-sha-512.sasl.jaas.config': scram,
      },
    })
  })

  afterAll(async () => {
    await broker.dispose()
    expect(lines.filter((line) => line.includes(PASSWORD))).toEqual([])
  })

  const open = (connection: Partial<KafkaConnection>) =>
    openKafkaBuffer({
      connection: { brokers: broker.brokers, ssl: { ca }, sasl: { mechanism: 'plain', username: 'tap', password: PASSWORD }, ...connection },
      prefix: `s${randomUUID()}`,
      partitions: 2,
      replicationFactor: null,
      retentionMs: 3_600_000,
      compression: 'gzip',
      createTopics: true,
      clock: systemClock,
      log,
    })

  test.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('%s: an event goes in and comes out', async (mechanism) => {
    const buffer = await open({ sasl: { mechanism, username: 'tap', password: PASSWORD } })
    try {
      await buffer.ownInputs(AbortSignal.timeout(20_000))
      const share = (await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])).get('devo')
      await buffer.append(unitOf({ chunks: [numbered(0, 3)] }))
      const { events, cursor } = await readShipment(buffer, 'devo', share?.cursor ?? '')
      expect(events).toEqual(numbered(0, 3))
      await buffer.commit('devo', cursor, [])
    } finally {
      await buffer.close()
    }
  })

  test.each(['plain', 'scram-sha-512'] as const)('%s: a wrong password is told as such, without it', async (mechanism) => {
    const error: unknown = await open({ sasl: { mechanism, username: 'tap', password: 'wrong-hunter3' } }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(FatalError)
    expect(String(error)).toContain('buffer.config.sasl')
    expect(String(error)).not.toContain('hunter3')
  })

  test('an authority that is not the broker\'s is told as such', async () => {
    await expect(open({ ssl: { ca: otherCa } })).rejects.toThrow(/certificate/i)
  })
})
