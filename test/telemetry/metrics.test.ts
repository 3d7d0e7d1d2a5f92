import { expect, test } from 'vitest'
import { Counters } from '../../src/pipeline/counters.ts'
import { Metrics, type Reading } from '../../src/telemetry/metrics.ts'
import { parseExposition, valueOf } from '../support/exposition.ts'

const SERVICE = { input: 'tap', service: 'clicksBlocked' }

function metricsOf(read: () => Promise<readonly Reading[]> = async () => []) {
  const metrics = new Metrics({ version: '1.2.3', read })
  const counters = new Counters()
  counters.tellTo(metrics)
  return { metrics, counters, samples: async () => parseExposition(await metrics.text()) }
}

/** The contract with whoever has a dashboard: names, types and labels, these in the order of the alphabet. */
const CONTRACT: Readonly<Record<string, string>> = {
  events_received_total: 'counter input service',
  events_duplicate_total: 'counter input service',
  events_delivered_total: 'counter input output service',
  dead_letters_total: 'counter output reason',
  api_requests_total: 'counter pool status',
  api_requests_remaining: 'gauge pool',
  settled_timestamp_seconds: 'gauge input service',
  gap_seconds_total: 'counter input service',
  holes: 'gauge input service',
  output_backlog_events: 'gauge output',
  delivery_attempts_total: 'counter output result',
  delivery_duration_seconds: 'histogram output',
  last_success_timestamp_seconds: 'gauge input output service',
  certificate_expiry_timestamp_seconds: 'gauge output',
  build_info: 'gauge version',
}

test('names, types and labels are those of the contract, and nothing else has the prefix', async () => {
  const output = { output: 'devo_1' }
  const { metrics, counters } = metricsOf(async () => [
    { name: 'settled_timestamp_seconds', labels: SERVICE, value: 1 },
    { name: 'gap_seconds_total', labels: SERVICE, value: 1 },
    { name: 'holes', labels: SERVICE, value: 1 },
    { name: 'output_backlog_events', labels: output, value: 1 },
    { name: 'api_requests_remaining', labels: { pool: 'siem' }, value: 1 },
    { name: 'certificate_expiry_timestamp_seconds', labels: output, value: 1 },
  ])
  counters.add('events_received_total', SERVICE)
  counters.add('events_duplicate_total', SERVICE)
  counters.add('events_delivered_total', { ...SERVICE, ...output })
  counters.add('dead_letters_total', { ...output, reason: 'refused' })
  counters.add('api_requests_total', { pool: 'siem', status: '200' })
  counters.add('delivery_attempts_total', { ...output, result: 'failed' })
  counters.observe('delivery_duration_seconds', output, 0.3)
  counters.note('last_success_timestamp_seconds', { ...SERVICE, ...output }, 1)
  const text = await metrics.text()
  const types = new Map([...text.matchAll(/^# TYPE tap_collector_(\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]))
  const labels = new Map(parseExposition(text).map((sample) => [sample.name, Object.keys(sample.labels).sort()]))
  const told = [...types].map(([name, type]) => {
    const sample = `tap_collector_${name}${type === 'histogram' ? '_count' : ''}`
    return [name, [type, ...(labels.get(sample) ?? ['no sample'])].join(' ')] as const
  })
  expect(Object.fromEntries(told)).toEqual(CONTRACT)
  expect(text).toContain('process_resident_memory_bytes')
  expect(text).toContain('tap_collector_build_info{version="1.2.3"} 1')
})

test('what happened is summed, and what is read is as it stands at that moment', async () => {
  let value = 7
  const { counters, samples } = metricsOf(async () => [
    { name: 'holes', labels: SERVICE, value },
    { name: 'gap_seconds_total', labels: SERVICE, value: 60 },
  ])
  counters.add('events_received_total', SERVICE, 2)
  counters.add('events_received_total', SERVICE, 3)
  counters.observe('delivery_duration_seconds', { output: 'devo_1' }, 0.3)
  counters.observe('delivery_duration_seconds', { output: 'devo_1' }, 20)
  await samples()
  value = 0
  const seen = await samples()
  expect(valueOf(seen, 'tap_collector_events_received_total', SERVICE)).toBe(5)
  expect(valueOf(seen, 'tap_collector_holes', SERVICE)).toBe(0)
  expect(valueOf(seen, 'tap_collector_gap_seconds_total', SERVICE)).toBe(60)
  expect(valueOf(seen, 'tap_collector_delivery_duration_seconds_bucket', { le: '0.5' })).toBe(1)
  expect(valueOf(seen, 'tap_collector_delivery_duration_seconds_sum')).toBe(20.3)
})

test('what is no longer read is no longer told, and two who ask at once get whole answers', async () => {
  let isKnown = true
  const { samples } = metricsOf(async () => (isKnown ? [{ name: 'output_backlog_events', labels: { output: 'devo_1' }, value: 4 }] : []))
  const both = await Promise.all([samples(), samples()])
  expect(both.map((seen) => valueOf(seen, 'tap_collector_output_backlog_events'))).toEqual([4, 4])
  isKnown = false
  expect(valueOf(await samples(), 'tap_collector_output_backlog_events')).toBeNull()
})

test('a label that could break the page out of its line cannot', async () => {
  const { metrics, counters } = metricsOf()
  counters.add('delivery_attempts_total', { output: 'a"b\\c\nd', result: 'failed' })
  expect(await metrics.text()).toContain('tap_collector_delivery_attempts_total{output="a\\"b\\\\c\\nd",result="failed"} 1\n')
})
