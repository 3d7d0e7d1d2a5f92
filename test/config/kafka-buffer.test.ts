import { inspect } from 'node:util'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { formatProblems } from '../../src/config/load.ts'
import type { KafkaBufferConfig } from '../../src/config/types.ts'
import { makeAuthority, type Authority, type Issued } from '../../src/simulator/certificates.ts'
import { folderWith, MINIMAL, outcomeOf, outcomeOfText } from './setup.ts'

const DATA = join(import.meta.dirname, 'data/good')

async function kafka(config: string): Promise<KafkaBufferConfig> {
  const { loaded, problems } = await outcomeOfText(`${MINIMAL}buffer: {type: kafka, config: {${config}}}`)
  expect(formatProblems(problems)).toBe('')
  const buffer = loaded?.config.buffer
  if (buffer?.type !== 'kafka') throw new Error('another buffer')
  return buffer
}

describe('the Kafka buffer', () => {
  it('needs its brokers alone', async () => {
    expect(await kafka('brokers: ["kafka:9092"]')).toEqual({
      type: 'kafka',
      brokers: ['kafka:9092'],
      ssl: false,
      sasl: null,
      topicPrefix: 'proofpoint_tap',
      partitions: 6,
      replicationFactor: null,
      retentionMs: 168 * 3_600_000,
      compression: 'gzip',
      createTopics: true,
    })
  })

  it('takes every key', async () => {
    const { loaded } = await outcomeOf(join(DATA, 'kafka.yaml'), { env: { BROKER: 'kafka-3.example.com:9093' } })
    expect(loaded?.config.buffer).toEqual({
      type: 'kafka',
      brokers: ['kafka-1.example.com:9093', '10.0.0.7:9093', 'kafka-3.example.com:9093'],
      ssl: { ca: join(DATA, 'certs/kafka-ca.crt'), cert: join(DATA, 'certs/kafka.crt'), key: '/etc/tap/kafka.key' },
      sasl: { mechanism: 'scram-sha-512', username: '0123', password: '1_000' },
      topicPrefix: 'Mail.tap_2-b',
      partitions: 12,
      replicationFactor: 3,
      retentionMs: 24 * 3_600_000,
      compression: 'none',
      createTopics: false,
    })
  })

  it.each([
    ['true', { ca: null, cert: null, key: null }],
    ['false', false],
    ['{}', { ca: null, cert: null, key: null }],
    ['', false],
  ])('takes ssl: %s', async (ssl, expected) => {
    expect((await kafka(`brokers: ["kafka:9092"], ssl: ${ssl}`)).ssl).toEqual(expected)
  })

  it('warns of a password in clear, not on the way to this machine', async () => {
    const warnings = async (brokers: string, more = '') => {
      const config = `{brokers: ${brokers}, sasl: {mechanism: plain, username: u, password: p}${more}}`
      return (await outcomeOfText(`${MINIMAL}buffer: {type: kafka, config: ${config}}`)).loaded?.warnings.map(({ path }) => path)
    }
    expect(await warnings('["localhost:9092", "127.0.0.1:9092"]')).toEqual([])
    expect(await warnings('["kafka:9092"]', ', ssl: true')).toEqual([])
    expect(await warnings('["localhost:9092", "kafka:9092"]')).toEqual(['buffer.config.sasl'])
  })

  it('does not print its credentials by accident', async () => {
    const buffer = await kafka('brokers: ["kafka:9092"], ssl: true, sasl: {mechanism: plain, username: ZZuser, password: ZZpassword}')
    expect(buffer.sasl?.password).toBe('ZZpassword')
    expect(JSON.stringify(buffer) + inspect(buffer, { depth: 9 })).not.toContain('ZZ')
  })

  it.each(['a'.repeat(200), 'a.b_c-D9'])('takes the prefix %s', async (prefix) => {
    expect((await kafka(`brokers: ["kafka:9092"], topic_prefix: ${prefix}`)).topicPrefix).toBe(prefix)
  })

  it.each(['a'.repeat(201), 'a/b', 'ü', '""'])('does not take the prefix %s', async (prefix) => {
    const { problems } = await outcomeOfText(
      `${MINIMAL}buffer: {type: kafka, config: {brokers: ["kafka:9092"], topic_prefix: ${prefix}}}`,
    )
    expect(problems.map(({ path }) => path)).toEqual(['buffer.config.topic_prefix'])
  })
})

describe('the certificates of the Kafka buffer', () => {
  let root: Authority
  let mine: Issued
  let other: Issued
  let expired: Issued

  beforeAll(async () => {
    root = await makeAuthority({ commonName: 'root of the brokers' })
    const issue = (validity: 'valid' | 'expired') => root.issue({ commonName: 'me', client: true, validity })
    mine = await issue('valid')
    other = await issue('valid')
    expired = await issue('expired')
  })

  async function said(ssl: string, files: Readonly<Record<string, string>>): Promise<string[]> {
    const folder = await folderWith({
      'config/config.yaml': `${MINIMAL}buffer: {type: kafka, config: {brokers: ["kafka:9093"], ssl: {${ssl}}}}`,
      'certs/.keep': '',
      ...Object.fromEntries(Object.entries(files).map(([name, content]) => [`certs/${name}`, content])),
    })
    const { problems } = await outcomeOf(join(folder, 'config/config.yaml'), {
      now: Date.now(),
      checkCertificates: true,
      env: { CERT: 'kafka.crt' },
    })
    return formatProblems(problems).replaceAll(folder, 'ROOT').replaceAll('error buffer.config.ssl.', '').split('\n')
  }

  const ALL = 'ca: kafka-ca.crt, cert: kafka.crt, key: kafka.key'
  const files = () => ({ 'kafka-ca.crt': root.certPem, 'kafka.crt': mine.certPem, 'kafka.key': mine.keyPem })

  it('that fit are silent', async () => {
    expect(await said(ALL, files())).toEqual([''])
    expect(await said('ca: kafka-ca.crt', files())).toEqual([''])
    expect(await said('cert: kafka.crt, key: kafka.key', files())).toEqual([''])
  })

  it('that are missing are named, all of them', async () => {
    expect(await said(ALL, {})).toEqual([
      'ca: ROOT/certs/kafka-ca.crt does not exist',
      'cert: ROOT/certs/kafka.crt does not exist',
      'key: ROOT/certs/kafka.key does not exist',
    ])
  })

  it('that do not fit are told', async () => {
    const mismatch = { ...files(), 'kafka.key': other.keyPem }
    expect(await said(ALL, mismatch)).toEqual([
      'key: ROOT/certs/kafka.key does not match the certificate ROOT/certs/kafka.crt; both must come from the same download',
    ])
    expect(await said('cert: "${CERT}", key: kafka.key', mismatch)).toEqual([
      'key: ROOT/certs/kafka.key does not match the certificate that is named beside it; both must come from the same download',
    ])
    expect((await said(ALL, { ...files(), 'kafka-ca.crt': mine.certPem }))[0]).toMatch(/^ca: .* holds no certificate of an authority/)
    expect((await said(ALL, { ...files(), 'kafka.crt': expired.certPem, 'kafka.key': expired.keyPem }))[0]).toMatch(
      /^cert: .* the certificate has expired on/,
    )
  })

  it.each([
    ['cert: kafka.crt', 'key'],
    ['ca: kafka-ca.crt, key: kafka.key', 'cert'],
  ])('go together: %s', async (ssl, missing) => {
    expect(await said(ssl, files())).toEqual([`${missing}: is missing: a client certificate and its key go together`])
  })

  it('are looked at alone too', async () => {
    expect(await said('cert: kafka.crt', {})).toEqual([
      'key: is missing: a client certificate and its key go together',
      'cert: ROOT/certs/kafka.crt does not exist',
    ])
  })
})
