import { expect, test } from 'vitest'
import { BufferLook } from '../../src/commands/look.ts'
import { readiness } from '../../src/commands/readiness.ts'
import type { EventBuffer } from '../../src/pipeline/buffer.ts'
import { Conditions } from '../../src/pipeline/conditions.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import { STANDBY } from '../../src/pipeline/supervisor.ts'
import { SecretScrubber } from '../../src/telemetry/secrets.ts'
import { inputConfig, serviceConfig } from '../support/tap-simulation.ts'
import { openBuffer, position, temporaryFolder, unit } from '../pipeline/support.ts'
import { collectorConfig } from './support.ts'

const config = collectorConfig({
  inputs: [inputConfig({ name: 'tap', services: [serviceConfig('clicksBlocked'), serviceConfig('messagesBlocked')] })],
})

const scrubber = new SecretScrubber()
scrubber.add('a-secret')

async function ready(conditions: Readonly<Record<string, string>>, buffer?: EventBuffer | null) {
  const all = new Conditions(() => 0)
  for (const [part, reason] of Object.entries(conditions)) all.set(part, reason, { code: 'DeliveryFailed' })
  const looked = buffer === undefined ? await openBuffer(await temporaryFolder()) : buffer
  const state = await readiness(config, all, new BufferLook(() => looked), scrubber)
  return { ...state, reasons: state.reasons.map(({ part, reason }) => `${part}: ${reason}`) }
}

test('whoever makes progress everywhere is ready; what a service or an output waits for is a reason why not', async () => {
  expect(await ready({})).toEqual({ ready: true, role: 'active', reasons: [], holes: [], gaps: [] })
  expect(await ready({ 'tap/clicksBlocked': 'HTTP 503' })).toMatchObject({ ready: false, reasons: ['tap/clicksBlocked: HTTP 503'] })
  expect(await ready({ devo_1: 'connection refused' })).toMatchObject({ ready: false, role: 'active' })
  expect(await ready({ inputs: 'no broker answers' })).toMatchObject({ ready: false, role: 'active' })
})

test('a reason has the code that its line of the log has, the code of its cause before that of the part; what is no trouble has none', async () => {
  const all = new Conditions(() => 0)
  all.set('devo_1', 'refused', { code: 'DeliveryFailed', err: new RetryableError('x', { cause: new RetryableError('y', { code: 'PeerReset' }) }) })
  all.set('devo_2', 'unknown', { code: 'DeliveryFailed', err: new Error('of a library') })
  all.set('devo_3', 'connecting', { code: null })
  const { reasons } = await readiness(config, all, new BufferLook(() => null), scrubber)
  expect(reasons.map(({ part, code }) => [part, code])).toEqual([
    ['devo_1', 'PeerReset [CODE:0801]'],
    ['devo_2', 'DeliveryFailed [CODE:0700]'],
    ['devo_3', null],
  ])
})

test('a reason that names a secret leaves without it', async () => {
  expect(await ready({ own: 'no login with a-secret' })).toMatchObject({ reasons: ['own: no login with [secret]'] })
})

test('whoever stands by is ready, whatever its services waited for before', async () => {
  const conditions = { [STANDBY]: 'another collector reads the inputs', 'tap/clicksBlocked': 'HTTP 503', 'tap/messagesBlocked/buffer': 'full' }
  expect(await ready(conditions)).toMatchObject({ ready: true, role: 'standby', reasons: ['standby: another collector reads the inputs'] })
})

test('whoever stands by and cannot deliver its share is not ready', async () => {
  const conditions = { [STANDBY]: 'another collector reads the inputs', 'tap/clicksBlocked': 'HTTP 503', devo_1: 'connection refused' }
  expect(await ready(conditions)).toMatchObject({ ready: false, role: 'standby', reasons: [expect.anything(), 'devo_1: connection refused'] })
})

test('an output that is named as an input is, is none of its services', async () => {
  const conditions = { [STANDBY]: 'another collector reads the inputs', tap: 'connection refused', 'tap/buffer': 'no broker answers' }
  expect(await ready(conditions)).toMatchObject({ ready: false, role: 'standby' })
})

test('holes and gaps are told, and stop nothing', async () => {
  const buffer = await openBuffer(await temporaryFolder())
  const hole = { from: 1, to: 2, since: 3, triedAt: 4, reason: 'HTTP 500' }
  const gap = { from: 5, to: 6, recordedAt: 7, reason: 'off for 8 days' }
  await buffer.append(unit([], { position: position({ holes: [hole], gaps: [gap] }) }))
  // Another service has its events now, and with them the hole.
  await buffer.append({ ...unit([], { position: position({ holes: [hole] }) }), service: 'messagesDelivered' })
  expect(await ready({ 'tap/clicksBlocked/holes': 'the API cannot serve a piece' }, buffer)).toMatchObject({
    ready: true,
    holes: [{ part: 'tap/clicksBlocked', ...hole }],
    gaps: [{ part: 'tap/clicksBlocked', ...gap }],
  })
})

test('without a buffer, or with one that fails, nobody is ready', async () => {
  expect(await ready({}, null)).toMatchObject({ ready: false, reasons: ['buffer: opening'] })
  const closed = await openBuffer(await temporaryFolder())
  await closed.close()
  expect(await ready({}, closed)).toMatchObject({ ready: false, reasons: ['buffer: does not answer'] })
})
