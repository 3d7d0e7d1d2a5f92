import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import type { TapServiceConfig, TapServiceName } from '../../../src/sources/proofpoint-tap/config.ts'
import { DAY, HOUR, inputConfig, MINUTE, SECOND, serviceConfig, START, TapSimulation } from '../../support/tap-simulation.ts'

const ALL = '/v2/siem/all'
const NAMES = ['clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered'] as const

function four(overrides: Partial<TapServiceConfig> = {}): TapServiceConfig[] {
  return NAMES.map((name) => serviceConfig(name, overrides))
}

function simulate({ services = four(), now = START + 10 * MINUTE, mode = 'combined' as const, latencyMs = 0 }: {
  readonly services?: readonly TapServiceConfig[]
  readonly now?: number
  readonly mode?: 'combined' | 'auto' | 'separate'
  readonly latencyMs?: number
} = {}): TapSimulation {
  return new TapSimulation([inputConfig({ services, endpointMode: mode })], { now, latencyMs })
}

/** One event of each service every so many minutes. */
function addEvents(simulation: TapSimulation, from: number, to: number, everyMs: number): void {
  for (const service of NAMES) for (let at = from; at < to; at += everyMs) simulation.model.events.add({ service, createdAt: at, content: { id: `${service} ${(at - START) / SECOND}` } })
}

const paths = (simulation: TapSimulation, since = 0): string[] => simulation.model.log.entries.filter(({ time }) => time >= since).map(({ path }) => path)
const marks = async (simulation: TapSimulation): Promise<number[]> =>
  Promise.all(NAMES.map(async (name) => (((await simulation.buffer.loadService('12345', name))?.settled ?? 0) - START) / MINUTE))
const came = (simulation: TapSimulation, service: TapServiceName): number => [...simulation.buffer.events.keys()].filter((text) => text.includes(`"${service} `)).length
const eachOnce = (simulation: TapSimulation): boolean => [...simulation.buffer.events.values()].every((times) => times === 1)

describe('services that share their requests', () => {
  it('need one for each pass, and keep marks, fingerprints and pulls of their own', async () => {
    const simulation = simulate()
    addEvents(simulation, START, START + 3 * HOUR, 2 * MINUTE)
    await simulation.start()
    await simulation.clock.advance(2 * HOUR)
    expect(new Set(paths(simulation))).toEqual(new Set([ALL]))
    // One more where the API's time was not known yet.
    expect(simulation.model.log.entries.length).toBe(25 + 1)
    expect(simulation.model.log.entries.every(({ pool }) => pool === 'siem')).toBe(true)
    expect(simulation.said(/Number of requests made: 1;/)).toHaveLength(4 * 24)
    for (const name of NAMES) expect(came(simulation, name)).toBe(Math.floor((2 * 60 + 10 - 0.5) / 2) + 1)
    expect(eachOnce(simulation)).toBe(true)
    expect(new Set(await marks(simulation)).size).toBe(1)
    expect((await marks(simulation))[0]).toBeGreaterThanOrEqual(2 * 60 + 10 - 45 - 15)
    await simulation.stop()
    expect(simulation.clock.pendingTimers).toBe(0)
  })

  it('catch up together: each hour once for all', async () => {
    const simulation = simulate({ now: START + 6 * DAY, latencyMs: 300 })
    addEvents(simulation, START, START + 6 * DAY - HOUR, 3 * HOUR)
    await simulation.once()
    expect(new Set(paths(simulation))).toEqual(new Set([ALL]))
    expect(simulation.model.log.entries.length).toBeLessThanOrEqual(6 * 24 + 2)
    for (const name of NAMES) expect(came(simulation, name)).toBe(48)
    expect(eachOnce(simulation)).toBe(true)
  })

  it.each([[6 * HOUR], [40 * MINUTE], [20 * SECOND]])('catch up alone where one is behind by %i ms, and share again as soon as it is there', async (behind) => {
    const now = START + 12 * HOUR
    const simulation = simulate({ now })
    addEvents(simulation, START, now + 2 * HOUR, 10 * MINUTE)
    simulation.model.events.add({ service: 'messagesBlocked', createdAt: now - HOUR - 10 * SECOND, content: { id: 'just before' } })
    for (const name of NAMES) await simulation.buffer.startService('12345', name, now - HOUR - (name === 'messagesBlocked' ? behind : 0), START)
    await simulation.start()
    await simulation.clock.advance(30 * MINUTE)
    expect(simulation.model.log.entries.filter(({ path }) => path === '/v2/siem/messages/blocked').length).toBeLessThanOrEqual(behind / HOUR + 4)
    const together = simulation.clock.now()
    await simulation.clock.advance(90 * MINUTE)
    expect(new Set(paths(simulation, together + 10 * MINUTE))).toEqual(new Set([ALL]))
    expect(new Set(await marks(simulation)).size).toBe(1)
    expect(eachOnce(simulation)).toBe(true)
    expect([...simulation.buffer.events.keys()].filter((key) => key.includes('just before'))).toHaveLength(1)
    const expected = (from: number): number => Math.ceil((now + 2 * HOUR - START) / (10 * MINUTE)) - Math.ceil((from - START) / (10 * MINUTE))
    expect(came(simulation, 'clicksBlocked')).toBe(expected(now - HOUR))
    expect(came(simulation, 'messagesBlocked')).toBe(expected(now - HOUR - behind))
    await simulation.stop()
  })

  it('with another start time each come together too', async () => {
    const now = START + 5 * DAY
    const services = four().map((service, index) => ({ ...service, startTime: index === 3 ? null : START + index * DAY }))
    const simulation = simulate({ services, now })
    await simulation.start()
    await simulation.clock.advance(2 * HOUR)
    expect(new Set(paths(simulation, now + HOUR))).toEqual(new Set([ALL]))
    expect(new Set(await marks(simulation)).size).toBe(1)
    await simulation.stop()
  })

  it('do not wait for one whose start lies in the future, and take it along when its time has come', async () => {
    const services = four().map((service, index) => (index === 0 ? { ...service, startTime: START + 3 * HOUR } : service))
    const simulation = simulate({ services })
    addEvents(simulation, START, START + 5 * HOUR, 5 * MINUTE)
    await simulation.start()
    await simulation.clock.advance(2 * HOUR)
    expect(came(simulation, 'clicksBlocked')).toBe(0)
    expect(came(simulation, 'messagesBlocked')).toBeGreaterThan(24)
    expect(simulation.model.log.entries.length).toBeLessThanOrEqual(27)
    await simulation.clock.advance(3 * HOUR)
    expect(came(simulation, 'clicksBlocked')).toBeGreaterThan(22)
    expect(new Set(paths(simulation, START + 4.5 * HOUR))).toEqual(new Set([ALL]))
    await simulation.stop()
  })

  it('go on where one of them cannot append, which comes back by itself', async () => {
    const simulation = simulate()
    addEvents(simulation, START, START + 4 * HOUR, 2 * MINUTE)
    simulation.buffer.fate = ({ service }) => (service === 'clicksPermitted' && simulation.clock.now() < START + 2 * HOUR ? 'fails' : 'well')
    await simulation.start()
    await simulation.clock.advance(110 * MINUTE)
    expect(came(simulation, 'clicksPermitted')).toBe(0)
    expect(came(simulation, 'clicksBlocked')).toBeGreaterThan(55)
    await simulation.clock.advance(HOUR)
    expect(new Set(NAMES.map((name) => came(simulation, name)))).toEqual(new Set([came(simulation, 'clicksBlocked')]))
    expect(eachOnce(simulation)).toBe(true)
    expect(new Set(paths(simulation, simulation.clock.now() - 20 * MINUTE))).toEqual(new Set([ALL]))
    await simulation.stop()
  })

  it('are asked for alone where the answer for all lacks their array', async () => {
    const simulation = simulate()
    addEvents(simulation, START, START + 2 * HOUR, 2 * MINUTE)
    const reach = simulation.request
    simulation.request = async (request) => {
      const response = await reach(request)
      if (request.url.pathname !== ALL) return response
      const body = (await text(response.body)).replace('"clicksPermitted":', '"somethingElse":')
      return { ...response, body: Readable.from([Buffer.from(body)], { objectMode: false }) }
    }
    await simulation.start()
    await simulation.clock.advance(HOUR)
    for (const name of NAMES) expect(came(simulation, name)).toBeGreaterThan(29)
    expect(paths(simulation)).toContain('/v2/siem/clicks/permitted')
    expect(eachOnce(simulation)).toBe(true)
    await simulation.stop()
  })

  it('are halved together where the API fails at large windows, and all of it is read', async () => {
    const simulation = simulate({ now: START + 6 * HOUR })
    simulation.model.faults.set({ kind: 'too-many', maxEvents: 12 })
    addEvents(simulation, START, START + 6 * HOUR, 6 * MINUTE)
    await simulation.start()
    await simulation.clock.advance(2 * HOUR)
    for (const name of NAMES) expect(came(simulation, name)).toBe(60)
    expect(eachOnce(simulation)).toBe(true)
    expect(new Set(paths(simulation))).toEqual(new Set([ALL]))
    await simulation.stop()
  })

  it('a minute that one of them cannot be served is a hole of that one alone, and holds the others up for minutes only', async () => {
    const bad = START + 20 * MINUTE
    const simulation = simulate({ now: START + 30 * MINUTE })
    for (const path of [ALL, '/v2/siem/messages/blocked']) simulation.model.faults.set({ kind: 'status', status: 500, body: 'index unavailable', minute: bad, path })
    addEvents(simulation, START, START + 12 * HOUR, 5 * MINUTE)
    await simulation.start()
    await simulation.clock.advance(HOUR)
    for (const name of NAMES) expect(came(simulation, name)).toBeGreaterThanOrEqual(name === 'messagesBlocked' ? 17 : 18)
    await simulation.clock.advance(6 * HOUR)
    const holes = await Promise.all(NAMES.map(async (name) => (await simulation.buffer.loadService('12345', name))?.holes.length ?? 0))
    expect(holes.map((count) => count > 0)).toEqual([false, false, true, false])
    expect(simulation.said(/^A hole: the API cannot serve 2026-11-20T00:.*index unavailable/, 'error').map(({ service }) => service)).toEqual(['messagesBlocked'])
    expect(came(simulation, 'messagesBlocked')).toBe(came(simulation, 'clicksBlocked') - 1)
    const late = simulation.model.log.entries.filter(({ time }) => time > simulation.clock.now() - 2 * HOUR)
    expect(late.filter(({ path }) => path === ALL).length).toBeGreaterThanOrEqual(24)
    expect(late.filter(({ path }) => path !== ALL).length).toBeLessThanOrEqual(6)
    expect(new Set(await marks(simulation)).size).toBe(1)
    simulation.model.faults.clear()
    await simulation.clock.advance(70 * MINUTE)
    expect(came(simulation, 'messagesBlocked')).toBe(came(simulation, 'clicksBlocked'))
    expect(eachOnce(simulation)).toBe(true)
    await simulation.stop()
  })

  it('make no holes and few requests while the API is down as a whole', async () => {
    const simulation = simulate({ now: START + 3 * HOUR })
    simulation.model.faults.set({ kind: 'status', status: 503, until: START + 27 * HOUR })
    await simulation.start()
    await simulation.clock.advance(DAY)
    expect(simulation.model.log.entries.length / 24).toBeLessThan(30)
    await simulation.clock.advance(2 * HOUR)
    expect((await marks(simulation)).every((mark) => mark > 27 * 60)).toBe(true)
    expect(simulation.said(/^A hole/)).toEqual([])
    expect(new Set(paths(simulation))).toEqual(new Set([ALL]))
    await simulation.stop()
  })

  it('are one gap each after more than seven days off', async () => {
    const now = START + 9 * DAY
    const simulation = simulate({ now })
    for (const name of NAMES) await simulation.buffer.startService('12345', name, START, START)
    await simulation.once()
    expect(simulation.buffer.gaps.map(({ from, to }) => [from, to])).toEqual(NAMES.map(() => [START, now - 7 * DAY + 10 * MINUTE]))
    expect(simulation.model.log.entries.length).toBeLessThanOrEqual(7 * 24 + 3)
  })

  it('wait for a service that is not there yet for seconds only', async () => {
    const simulation = simulate()
    const sources = await simulation.sources()
    const stop = new AbortController()
    const stream = sources[0]?.units('clicksBlocked', { settled: START, readAt: 0, holes: [], seen: [], startTime: START }, { signal: stop.signal, once: false })
    stream?.on('error', () => undefined).resume()
    await simulation.clock.advance(9 * SECOND)
    expect(paths(simulation)).toEqual([])
    await simulation.clock.advance(2 * SECOND)
    expect(new Set(paths(simulation))).toEqual(new Set(['/v2/siem/clicks/blocked']))
    stop.abort(new Error('stopped'))
    await sources[0]?.close()
    expect(simulation.clock.pendingTimers).toBe(0)
  })

  it.each(['before the answer', 'in the middle of the answer'])('stop at once, all of them or one alone: %s', async (when) => {
    const simulation = simulate({ now: START + HOUR })
    simulation.model.faults.set({ kind: 'stall', afterBytes: when.includes('middle') ? 10 : null })
    await simulation.start()
    await simulation.clock.advance(MINUTE)
    expect(paths(simulation)).toEqual([ALL])
    await simulation.stop()
    expect(simulation.clock.pendingTimers).toBe(0)
  })

  it('say which ones are not allowed and what to do', async () => {
    const simulation = simulate({ now: START + HOUR })
    simulation.model.configure({ entitled: ['/v2/siem/clicks/blocked'] })
    await simulation.start()
    await simulation.clock.advance(MINUTE)
    expect(simulation.reasons()[0]).toMatch(/not entitled to clicksBlocked, clicksPermitted, messagesBlocked, messagesDelivered \(403\).*set inputs\.tap\.endpoint_mode to separate/)
    await simulation.stop()
  })

  it('are checked by one request', async () => {
    const simulation = simulate({ now: START + HOUR })
    const [source] = await simulation.sources()
    await source?.check(new AbortController().signal)
    expect(paths(simulation)).toEqual([ALL])
    simulation.model.faults.set({ kind: 'array', text: '7' })
    await expect(source?.check(new AbortController().signal)).rejects.toThrow('not what the API promises')
    await source?.close()
  })
})
