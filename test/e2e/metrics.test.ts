import { beforeAll, describe, expect, test } from 'vitest'
import { behaviours } from '../../src/simulator/devo-behaviours.ts'
import { hostileEvent } from '../../src/simulator/events.ts'
import { makeKafkaWorld } from '../chaos/kafka-world.ts'
import { dashboardExpressions } from '../support/dashboard.ts'
import { parseExposition, valueOf, type Sample } from '../support/exposition.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { describePrometheus, startPrometheus } from '../support/prometheus.ts'
import type { Collector } from './collector.ts'
import { makeWorld, MINUTE_MS, type World } from './world.ts'

const until = Date.now() - 2 * MINUTE_MS
const TOKEN = 'a-token-of-mine'
const SERVICES = ['clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered']

async function scrape(port: number): Promise<Sample[]> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
  return parseExposition(await response.text())
}

/** Asks until the metrics say so; the test's own time-out ends it. */
async function scrapeUntil(port: number, wanted: (samples: readonly Sample[]) => boolean): Promise<Sample[]> {
  for (;;) {
    const samples = await scrape(port)
    if (wanted(samples)) return samples
  }
}

/** An output that is down shows as backlog and failed attempts; then every event that has arrived is counted once, at its service. */
async function tellsOfAnOutage(world: World, collector: Collector): Promise<void> {
  const port = await collector.httpPort()
  await scrapeUntil(port, (samples) => (valueOf(samples, 'tap_collector_output_backlog_events', { output: 'devo_1' }) ?? 0) > 100)
  await world.receiver.acceptConnections()
  await world.allArrive(until)
  const samples = await scrapeUntil(port, (seen) => valueOf(seen, 'tap_collector_output_backlog_events', { output: 'devo_1' }) === 0)
  const { missing, surplus, expected } = world.compare()
  expect({ missing, surplus }).toEqual({ missing: [], surplus: [] })

  expect(valueOf(samples, 'tap_collector_events_delivered_total', { output: 'devo_1', input: 'proofpoint_tap' })).toBe(expected)
  const received = valueOf(samples, 'tap_collector_events_received_total') ?? 0
  expect(received - (valueOf(samples, 'tap_collector_events_duplicate_total') ?? 0)).toBe(expected)
  for (const service of SERVICES) {
    const labels = { input: 'proofpoint_tap', service }
    const arrived = world.lines.filter((line) => line.includes(` mail.proofpoint.tapsiem_v2.${service.toLowerCase()}: `)).length
    expect(valueOf(samples, 'tap_collector_events_delivered_total', { ...labels, output: 'devo_1' })).toBe(arrived)
    expect(Math.abs((valueOf(samples, 'tap_collector_settled_timestamp_seconds', labels) ?? 0) - Date.now() / 1_000)).toBeLessThan(600)
    expect(Math.abs((valueOf(samples, 'tap_collector_last_success_timestamp_seconds', { ...labels, output: 'devo_1' }) ?? 0) - Date.now() / 1_000)).toBeLessThan(60)
    expect(valueOf(samples, 'tap_collector_holes', labels)).toBe(0)
    expect(valueOf(samples, 'tap_collector_gap_seconds_total', labels)).toBe(0)
  }
  const delivered = valueOf(samples, 'tap_collector_delivery_attempts_total', { output: 'devo_1', result: 'delivered' })
  expect(delivered).toBeGreaterThan(0)
  expect(valueOf(samples, 'tap_collector_delivery_duration_seconds_count', { output: 'devo_1' })).toBe(delivered)
  expect(valueOf(samples, 'tap_collector_api_requests_total', { pool: 'siem', status: '200' })).toBeGreaterThan(0)
  expect(valueOf(samples, 'tap_collector_certificate_expiry_timestamp_seconds', { output: 'devo_1' })).toBeGreaterThan(Date.now() / 1_000)
}

describe('the metrics', () => {
  test('of an outage of the output, and of what came after it', async () => {
    const world = await makeWorld({ traffic: { until } })
    world.receiver.refuseConnections()
    await tellsOfAnOutage(world, world.start(['run']))
  })
})

describePrometheus('a real Prometheus', () => {
  test('scrapes with the token: every panel of the dashboard has something to show, and the alerts are evaluated', async () => {
    const world = await makeWorld({
      traffic: { until },
      configure: ({ globals, inputs }) => {
        Object.assign(globals.http, { token: TOKEN })
        Object.assign(inputs.proofpoint_tap ?? {}, { requests_limits: [{ period: '1d', number_of_requests: 5_000 }] })
      },
    })
    world.receiver.nextWithData(behaviours.reset({ lines: 3 }))
    world.model.events.add(hostileEvent('number', 'messagesBlocked', Date.now() - 10 * MINUTE_MS))
    const collector = world.start(['run'])
    const port = await collector.httpPort()
    expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(401)
    const prometheus = await startPrometheus(port, TOKEN)
    await world.allArrive(until)
    await collector.logged('is kept as a dead letter')
    const { expected } = world.compare(({ content }) => content !== '42')
    const valueOnceIs = async (expression: string, isWanted: (value: number) => boolean): Promise<void> => {
      for (const end = Date.now() + 15_000; ; ) {
        const results = await prometheus.query(expression)
        if (results.some(({ value }) => isWanted(value))) return
        if (Date.now() > end) throw new Error(`${expression} gives ${JSON.stringify(results)}`)
      }
    }
    await valueOnceIs('sum(tap_collector_events_delivered_total)', (value) => value === expected)
    await valueOnceIs('tap_collector_dead_letters_total{output="",reason="malformed"}', (value) => value === 1)
    await valueOnceIs('tap_collector_delivery_attempts_total{result="failed"}', (value) => value > 0)
    await valueOnceIs('tap_collector_api_requests_remaining{pool="siem"}', (value) => value < 5_000 && value > 4_000)
    for (const { expr } of dashboardExpressions('1m')) await valueOnceIs(expr, () => true)
    const rules = await prometheus.rules()
    expect(rules.length).toBeGreaterThan(10)
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([])
  })
})

describeKafka('the metrics with the Kafka buffer', () => {
  let brokers: readonly string[]
  beforeAll(async () => {
    brokers = await sharedBroker()
  })

  test('of an outage of the output, of what came after it, and of a collector that stands by', async () => {
    const world = await makeKafkaWorld({ brokers, perHour: 1_200, traffic: { until } })
    world.receiver.refuseConnections()
    await tellsOfAnOutage(world, world.start(['run']))

    // Who stands by tells the same of the state, and counts nothing that it has not done.
    const port = await world.start(['run']).httpPort()
    const samples = await scrapeUntil(port, (seen) => valueOf(seen, 'tap_collector_settled_timestamp_seconds') !== null)
    expect(valueOf(samples, 'tap_collector_output_backlog_events', { output: 'devo_1' })).toBe(0)
    expect(valueOf(samples, 'tap_collector_events_received_total')).toBe(0)
  })
})
