import { expect, test } from 'vitest'
import { makeWorld, MINUTE_MS } from './world.ts'

const until = Date.now() - 2 * MINUTE_MS
const LINE = /^<14>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+ devo\.collectors\.out\.local\.(info|warning|error): (\{.*\})$/

test('the collector’s own log reaches Devo beside the events, of an outage once that is over; its own failures do not', async () => {
  const own: string[] = []
  const eventConnections = new Set<number>()
  const ownConnections = new Set<number>()
  const world = await makeWorld({
    traffic: { until },
    onLine: (_line, connection) => eventConnections.add(connection),
    onOwnLog: (line, connection) => {
      own.push(line)
      ownConnections.add(connection)
    },
    configure: ({ globals }) => {
      globals.internal_events = true
    },
  })
  world.receiver.refuseConnections()
  const collector = world.start(['run'])
  const failure = await collector.logged('own log does not reach devo_1 now')
  expect(failure).toMatchObject({ level: 'warn', internal_events: true })
  await world.receiver.acceptConnections()
  await world.allArrive(until)
  await collector.logged('own log reaches devo_1 again')
  expect(await collector.stop()).toMatchObject({ code: 0 })

  // No event came twice or not at all, and none shared a connection with the log.
  expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
  expect([...ownConnections].filter((connection) => eventConnections.has(connection))).toEqual([])

  const entries = own.map((line) => {
    const [, level, json = ''] = LINE.exec(line) ?? []
    const body = JSON.parse(json) as Record<string, unknown>
    expect(Object.keys(body)).toEqual(['msg', 'time', 'level', 'collector_name', 'collector_version', 'collector_image', 'input_name', 'service_name', 'module_name'])
    expect(body).toMatchObject({ level, collector_name: 'e2e' })
    return String(body.msg)
  })
  expect(entries.some((msg) => /^tap-collector \S+ starts/.test(msg))).toBe(true)
  expect(entries.some((msg) => msg.includes('Output devo_1 is not reachable'))).toBe(true)
  expect(entries.filter((msg) => msg.includes('own log'))).toEqual([])
  expect(own.join('\n')).not.toContain('simulated-secret')
  expect(entries).toContain('SIGTERM: finishing what is in flight; a second signal leaves at once')
})
