import { expect, test } from 'vitest'
import { Conditions } from '../../src/pipeline/conditions.ts'
import { Counters } from '../../src/pipeline/counters.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import { HOUR_MS } from '../../src/pipeline/time.ts'
import { HourlyEvents } from '../../src/telemetry/hourly-events.ts'

test('new events are told by service and hour, for 24 hours, and duplicates are none', () => {
  let now = 1_000 * HOUR_MS
  const hours = new HourlyEvents(() => now)
  const counters = new Counters()
  counters.tellTo(hours)
  const service = { input: 'tap', service: 'clicksBlocked' }
  counters.add('events_received_total', service, 5)
  counters.add('events_duplicate_total', service, 2)
  counters.add('events_delivered_total', { ...service, output: 'devo_1' }, 3)
  now += 2 * HOUR_MS
  counters.add('events_received_total', service, 7)
  expect(hours.of(service).slice(-4)).toEqual([0, 3, 0, 7])
  expect(hours.of(service)).toHaveLength(24)
  expect(hours.of({ ...service, service: 'messagesBlocked' })).toEqual(Array(24).fill(0))
  now += 23 * HOUR_MS
  expect(hours.of(service)).toEqual([7, ...Array<number>(23).fill(0)])
})

test('an error that is over is remembered, the last of a part and all below it; what is no error is not', () => {
  let now = 1
  const conditions = new Conditions(() => now)
  conditions.set('devo_1', 'connecting', { code: null })
  conditions.clear('devo_1')
  expect(conditions.past('devo_1')).toBeNull()
  conditions.set('devo_1', 'refused', { code: 'DeliveryFailed' })
  now = 2
  conditions.clear('devo_1')
  conditions.set('devo_1/buffer', 'away', { code: 'OutputWaitsForBuffer', err: new RetryableError('away', { code: 'DiskFull' }) })
  now = 3
  conditions.clearBelow('devo_1')
  conditions.set('devo_10', 'other', { code: 'DeliveryFailed' })
  conditions.clear('devo_10')
  expect(conditions.past('devo_1')).toEqual({ reason: 'away', code: 'DiskFull', since: 2, endedAt: 3 })
  expect(conditions.list()).toEqual([])
})
