import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { beginCounting, readings } from '../../src/commands/readings.ts'
import type { OutputConfig } from '../../src/config/types.ts'
import type { BufferSnapshot } from '../../src/pipeline/buffer.ts'
import { Counters } from '../../src/pipeline/counters.ts'
import { makeAuthority } from '../../src/simulator/certificates.ts'
import { poolKey } from '../../src/sources/proofpoint-tap/pools.ts'
import { temporaryFolder } from '../pipeline/support.ts'
import { DAY, inputConfig, MINUTE, serviceConfig, START } from '../support/tap-simulation.ts'
import { collectorConfig } from './support.ts'

const COMMON = { services: null, transforms: [], shipmentsInFlight: 4, maxShipmentEvents: 1, maxShipmentBytes: 1, startFrom: 'now' } as const
const file: OutputConfig<'console'> = { ...COMMON, name: 'console_1', type: 'console', config: { format: 'line' } }
const first = inputConfig({ name: 'first', id: '11111', username: 'a', requestsLimits: [{ periodMs: DAY, requests: 100 }] })
const second = inputConfig({ name: 'second', id: '22222', username: 'b', requestsLimits: [{ periodMs: DAY, requests: 100 }], services: [serviceConfig('messagesBlocked')] })
const unlimited = inputConfig({ name: 'third', id: '33333', username: 'c', requestsLimits: [], services: [serviceConfig('clicksPermitted')] })

function snapshotWith(change: Partial<BufferSnapshot>): BufferSnapshot {
  return { services: [], outputs: [], sourceDeadLetters: 0, pools: [], sizeInBytes: 0, maxSizeInBytes: 0, ...change }
}

function service(inputId: string, name: string): BufferSnapshot['services'][number] {
  const gap = { recordedAt: 0, reason: 'off' }
  const hole = { from: 0, to: 1, since: 0, triedAt: 0, reason: 'HTTP 500' }
  return { inputId, service: name, settled: START, readAt: START, startTime: null, holes: [hole, hole], gaps: [{ ...gap, from: 0, to: 60_000 }, { ...gap, from: 100_000, to: 130_000 }] }
}

test('what is configured is told by the names of the configuration, and nothing else', async () => {
  const config = collectorConfig({ inputs: [first], outputs: [file] })
  const output = { open: true, provenAt: 0, deadLetters: 0, missedEvents: 0 }
  const snapshot = snapshotWith({
    services: [service('11111', 'clicksBlocked'), service('11111', 'messagesBlocked'), service('99999', 'clicksBlocked')],
    outputs: [{ ...output, name: 'console_1', backlogEvents: 7 }, { ...output, name: 'gone', backlogEvents: 9 }],
  })
  const labels = { input: 'first', service: 'clicksBlocked' }
  expect(await readings(config, snapshot, START)).toEqual([
    { name: 'settled_timestamp_seconds', labels, value: START / 1_000 },
    { name: 'gap_seconds_total', labels, value: 90 },
    { name: 'holes', labels, value: 2 },
    { name: 'output_backlog_events', labels: { output: 'console_1' }, value: 7 },
    { name: 'api_requests_remaining', labels: { pool: 'siem' }, value: 100 },
  ])
  expect(await readings(config, null, START)).toEqual([])
})

test('of a pool that several credentials have the one with the fewest requests left counts; without a limit there is none', async () => {
  const minute = Math.floor(START / MINUTE)
  const pools = [{ pool: poolKey(first, 'siem'), minutes: [[minute - 1, 10]] as const }, { pool: poolKey(second, 'siem'), minutes: [[minute - 1, 40]] as const }]
  const told = await readings(collectorConfig({ inputs: [first, second, unlimited] }), snapshotWith({ pools }), START)
  expect(told).toEqual([{ name: 'api_requests_remaining', labels: { pool: 'siem' }, value: 60 }])
})

test('a certificate is read anew each time, and one that cannot be read is left out', async () => {
  const cert = join(await temporaryFolder(), 'me.crt')
  const devo: OutputConfig<'devo_platform'> = {
    ...COMMON, name: 'devo_1', type: 'devo_platform',
    config: {
      address: '127.0.0.1', port: 1, confirm: 'drain', quietMs: 1, drainTimeoutMs: 1, probeMs: 1, settleMs: 1, chain: cert, cert, key: cert, verifyHostname: true, allowWeakCertificates: false,
    },
  }
  const config = collectorConfig({ outputs: [devo] })
  expect(await readings(config, null, START)).toEqual([])
  const authority = await makeAuthority({ commonName: 'root' })
  const issued = await authority.issue({ commonName: 'client', client: true })
  await writeFile(cert, issued.chainPem)
  const [reading] = await readings(config, null, START)
  expect(reading).toMatchObject({ name: 'certificate_expiry_timestamp_seconds', labels: { output: 'devo_1' } })
  expect(reading?.value).toBeGreaterThan(Date.now() / 1_000)
  await writeFile(cert, 'no certificate')
  expect(await readings(config, null, START)).toEqual([])
})

test('counters begin with 0, or a first failure would be no increase', () => {
  const told: string[] = []
  const counters = new Counters()
  counters.tellTo({ add: (name, labels, amount) => told.push(`${name} ${Object.values<string>({ ...labels }).join(' ')} ${amount}`), observe: () => undefined, note: () => undefined })
  beginCounting(collectorConfig({ inputs: [first], outputs: [file] }), counters)
  expect(told.sort()).toEqual([
    'api_requests_total siem 200 0',
    'dead_letters_total  malformed 0',
    'dead_letters_total console_1 refused 0',
    'delivery_attempts_total console_1 delivered 0',
    'delivery_attempts_total console_1 failed 0',
    'events_duplicate_total first clicksBlocked 0',
    'events_received_total first clicksBlocked 0',
  ])
})
