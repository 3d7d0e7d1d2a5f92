import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { formatProblems } from '../../src/config/load.ts'
import type { LoadedConfig } from '../../src/config/types.ts'
import { outcomeOf } from './setup.ts'

const DATA = join(import.meta.dirname, 'data')
const ENV = {
  SHORT: 'abc',
  NOT_A_BOOLEAN: 'perhaps',
  NOT_A_PORT: '99999',
  OUTPUT_TYPE: 'devo',
  URL: 'ftp://from-outside.example.com',
  BAD_TAG: 'Out.side',
  NOT_A_TYPE: 'links',
  TAP_PRINCIPAL: 'principal',
  DEVO_PORT: '8443',
  ON: 'yes',
  START: '2026-11-21',
  HASH_KEY: 'a key from the environment',
  BROKER: 'kafka-3.example.com:9093',
}

/** Every x.yaml has an x.txt beside it with exactly what is said about it, in that order. */
async function compare(folder: string, name: string): Promise<LoadedConfig | null> {
  const root = join(DATA, folder)
  const { loaded, problems } = await outcomeOf(join(root, `${name}.yaml`), { env: ENV })
  const said = loaded === null ? formatProblems(problems) : formatProblems(loaded.warnings, 'warning')
  expect(said.replaceAll(root, 'ROOT').trim().split('\n')).toEqual(
    readFileSync(join(root, `${name}.txt`), 'utf8')
      .trim()
      .split('\n'),
  )
  return loaded
}

const namesIn = (folder: string) =>
  readdirSync(join(DATA, folder))
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => name.slice(0, -'.yaml'.length))

describe('what is wrong is said in one go', () => {
  it.each(namesIn('bad'))('%s', async (name) => {
    expect(await compare('bad', name)).toBeNull()
  })
})

describe('the YAML of the old collector works unchanged', () => {
  it.each(namesIn('old'))('%s', async (name) => {
    expect(await compare('old', name)).not.toBeNull()
  })

  it('and means the same', async () => {
    const loaded = await compare('old', 'minimal')
    const root = join(DATA, 'old')
    const start = Date.parse('2026-11-20T00:00:00Z')
    expect(loaded?.config).toMatchObject({
      root,
      name: 'proofpoint_tap',
      id: 'not_used',
      debug: false,
      stateDir: join(root, 'state'),
      buffer: { type: 'embedded', retentionMs: 86_400_000, maxSizeBytes: 10_737_418_240 },
      outputs: [
        {
          name: 'devo_1',
          type: 'devo_platform',
          services: null,
          shipmentsInFlight: 4,
          maxShipmentEvents: 50_000,
          maxShipmentBytes: 67_108_864,
          startFrom: 'now',
          config: {
            address: 'collector-us.devo.io',
            port: 443,
            chain: join(root, 'certs/chain.crt'),
            cert: join(root, 'certs/acme.crt'),
            key: join(root, 'certs/acme.key'),
            confirm: 'drain',
            quietMs: 1000,
            drainTimeoutMs: 30_000,
            probeMs: 5000,
            settleMs: 10_000,
            verifyHostname: true,
            allowWeakCertificates: false,
          },
        },
      ],
      inputs: [
        {
          name: 'proofpoint_tap',
          id: '12345',
          username: '1f2e3d4c-service-principal',
          password: '0a1b2c3d4e5f',
          baseUrl: 'https://tap-api-v2.proofpoint.com',
          environment: null,
          requestsLimits: [{ periodMs: 86_400_000, requests: 1800 }],
          endpointMode: 'separate',
          ca: null,
          services: [
            { name: 'clicksBlocked', startTime: start, requestPeriodMs: 300_000, lookBackMs: 2_700_000, sweepPeriodMs: 900_000 },
            { name: 'clicksPermitted', startTime: start, overrideTag: null },
            { name: 'messagesBlocked', startTime: start, threatStatuses: [], threatTypes: [] },
            { name: 'messagesDelivered', startTime: null, requestPeriodMs: 300_000, overrideTag: null },
          ],
        },
      ],
    })
  })

  it('with the state on disk whatever its persistence was, and old names of keys', async () => {
    const loaded = await compare('old', 'every-place')
    expect(loaded?.config.stateDir).toBe(join(DATA, 'old/state'))
    expect(loaded?.config.outputs.map(({ type }) => type)).toEqual(['devo_platform', 'console', 'console', 'relay'])
    expect(loaded?.config.outputs[0]?.config).toMatchObject({ address: 'collector-us.devo.io', key: join(DATA, 'old/certs/acme.key') })
    expect(loaded?.config.inputs[0]).toMatchObject({ environment: 'prod', requestsLimits: [{ periodMs: 3_600_000, requests: 60 }] })
    expect(loaded?.config.inputs[0]?.services.map(({ name }) => name)).toEqual(['clicksBlocked', 'threats'])
  })

  it('with the repairs of its name', async () => {
    expect((await compare('old', 'every-global'))?.config.name).toBe('proofpoint_tap__1')
  })
})

describe('what is right', () => {
  it.each(namesIn('good'))('%s', async (name) => {
    expect(await compare('good', name)).not.toBeNull()
  })

  it('every key', async () => {
    const root = join(DATA, 'good')
    const loaded = await compare('good', 'every-key')
    expect(loaded?.config).toMatchObject({
      debug: true,
      id: 'collector 7',
      name: 'tap-collector_1',
      stateDir: '/var/lib/tap',
      internalEvents: true,
      http: { enabled: false, host: '::1', isHostGiven: true, port: 0, token: '0123' },
      buffer: { retentionMs: 48 * 3_600_000, maxSizeBytes: 512 * 1024 * 1024 },
      outputs: [
        {
          name: 'devo_1',
          services: ['clicksBlocked', 'tap_2/messagesBlocked', 'messagesDelivered'],
          shipmentsInFlight: 2,
          maxShipmentEvents: 1000,
          maxShipmentBytes: 1_048_576,
          startFrom: 'oldest',
          config: {
            port: 8443,
            chain: join(root, 'certs/chain.crt'),
            cert: join(root, 'certs/sub/me.crt'),
            key: '/etc/tap/me.key',
            confirm: 'settle',
            quietMs: 200,
            drainTimeoutMs: 20_000,
            probeMs: 3000,
            settleMs: 5000,
            verifyHostname: false,
            allowWeakCertificates: true,
          },
        },
        { name: 'console_1', type: 'console', config: { format: 'ndjson' } },
      ],
      inputs: [
        {
          name: 'tap_1',
          baseUrl: 'http://127.0.0.1:8099/tap',
          environment: 'prod',
          requestsLimits: [
            { periodMs: 86_400_000, requests: 900 },
            { periodMs: 30_000, requests: 2 },
          ],
          endpointMode: 'auto',
          ca: join(root, 'certs/proxy-ca.crt'),
          services: [
            {
              name: 'clicksBlocked',
              startTime: Date.parse('2026-11-20T01:02:03Z'),
              requestPeriodMs: 120_000,
              lookBackMs: 0,
              sweepPeriodMs: 0,
              overrideTag: 'my.app.mail.clicks_1',
              threatStatuses: ['active', 'falsePositive'],
              threatTypes: ['url', 'messageText'],
            },
            { name: 'clicksPermitted' },
          ],
        },
        { name: 'tap_2', id: 'abcdef' },
      ],
    })
  })

  it('credentials and ids keep their source text, numbers are read as YAML 1.1', async () => {
    const config = (await compare('good', 'source-text'))?.config
    expect(config).toMatchObject({ id: '007', name: '2026-11-20', http: { port: 8080, token: '1e5' } })
    expect(config?.outputs[0]).toMatchObject({ maxShipmentEvents: 1000, shipmentsInFlight: 8 })
    expect(config?.inputs.map(({ id, username, password }) => [id, username, password])).toEqual([
      ['012345', 'yes', '0x1F'],
      ['12_345', '1e5', '2026-11-20'],
      ['12345678901234567890', '1_000.5', '.5'],
      ['null!', "it's", 'A \\'],
    ])
    expect(config?.inputs[0]?.environment).toBe('on')
    expect(config?.inputs[0]?.services[0]?.requestPeriodMs).toBe(300_000)
  })

  it('transforms', async () => {
    const outputs = (await compare('good', 'transforms'))?.config.outputs
    const none = { number: null, boolean: null }
    expect(outputs?.map(({ transforms }) => transforms)).toEqual([
      [
        {
          type: 'filter',
          config: {
            effect: 'keep',
            conditions: [
              {
                field: '/classification',
                test: {
                  kind: 'one-of',
                  literals: [
                    { ...none, text: 'phish' },
                    { ...none, text: 'malware' },
                    { ...none, text: '5', number: '5e0' },
                    { ...none, text: '0x1F', number: '31e0' },
                    { ...none, text: 'yes', boolean: true },
                  ],
                },
              },
            ],
          },
        },
        {
          type: 'filter',
          config: {
            effect: 'drop',
            conditions: [
              { field: '/messageParts/*/filename', test: { kind: 'matches', pattern: '\\.tmp$', ignoreCase: true } },
              { field: '/campaignId', test: { kind: 'exists', wanted: false } },
              { field: '/completelyRewritten', test: { kind: 'one-of', literals: [{ text: 'false', number: null, boolean: false }] } },
            ],
          },
        },
        {
          type: 'redact',
          config: { fields: ['/Recipient', '/messageParts/*/filename', '/my~1own'], action: 'hash', key: 'a key from the environment' },
        },
        { type: 'redact', config: { fields: ['/subject'], action: 'mask', key: null } },
      ],
      [],
    ])
    expect(JSON.stringify(outputs)).not.toContain('a key from the environment')
  })

  it('merge keys: the own key first, then the earlier mapping', async () => {
    const inputs = (await compare('good', 'merge-keys'))?.config.inputs
    expect(inputs?.map(({ id, username, password }) => [id, username, password])).toEqual([
      ['11111', 'u', 'p'],
      ['22222', 'v', 'p'],
    ])
    expect(inputs?.[1]?.services).toMatchObject([
      { name: 'clicksBlocked', requestPeriodMs: 60_000, lookBackMs: 600_000 },
      { name: 'clicksPermitted', requestPeriodMs: 90_000, lookBackMs: 600_000, sweepPeriodMs: 420_000 },
    ])
  })

  it('references to the environment and to files', async () => {
    const config = (await compare('good', 'references'))?.config
    expect(config).toMatchObject({ id: 'a${b}c', debug: true, http: { port: 8443, token: '< s3cret$x ${NOT} >' } })
    expect(config?.inputs[0]).toMatchObject({ id: 'id-8443-8443', username: 'principal', password: '< s3cret$x ${NOT} >' })
    expect(config?.inputs[0]?.services[0]).toMatchObject({ startTime: Date.parse('2026-11-21T00:00:00Z'), requestPeriodMs: 8_443_000 })
  })
})
