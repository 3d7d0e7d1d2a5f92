import { describe, expect, it } from 'vitest'
import type { TapInputConfig, TapServiceConfig } from '../../../src/sources/proofpoint-tap/config.ts'
import { DAY, HOUR, inputConfig, MINUTE, SECOND, serviceConfig, START, TapSimulation } from '../../support/tap-simulation.ts'

const NAMES = ['clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered'] as const
/** The API's quota for an hour of its day. */
const LIMITS = [{ periodMs: HOUR, requests: 75 }]

function four(overrides: Partial<TapServiceConfig>): TapServiceConfig[] {
  return NAMES.map((name) => serviceConfig(name, overrides))
}

/** The most requests of any pool in any so long time. */
function most(simulation: TapSimulation, periodMs: number): number {
  const highest = (pool: string): number => {
    const times = simulation.model.log.entries.filter((entry) => entry.pool === pool).map(({ time }) => time)
    return Math.max(0, ...times.map((time, index) => index + 1 - times.findIndex((other) => other > time - periodMs)))
  }
  return Math.max(highest('siem'), highest('clicks_permitted'))
}

async function lag(simulation: TapSimulation, { id, services }: TapInputConfig): Promise<number> {
  const marks = await Promise.all(services.map(async ({ name }) => (await simulation.buffer.loadService(id, name))?.settled ?? 0))
  return simulation.clock.now() - Math.min(...marks)
}

describe('the quota', () => {
  it.each([
    ['separate', SECOND, 2], ['separate', 50 * SECOND, 1], ['separate', 5 * MINUTE, 0], ['combined', SECOND, 1], ['combined', 30 * SECOND, 1], ['auto', 10 * SECOND, 1],
  ] as const)('holds across restarts for four services: %s, every %i ms, where the periods of %i pools do not fit and that is said once', async (endpointMode, requestPeriodMs, stretched) => {
    const now = START + 4 * HOUR
    const input = inputConfig({ endpointMode, requestsLimits: LIMITS, services: four({ requestPeriodMs }) })
    const simulation = new TapSimulation([input], { now })
    for (let restart = 0; restart < 3; restart += 1) {
      await simulation.start()
      await simulation.clock.advance(50 * MINUTE)
      await simulation.stop()
    }
    expect(most(simulation, HOUR)).toBeLessThanOrEqual(75)
    expect(simulation.said('is stretched', 'warn')).toHaveLength(3 * stretched)
    expect(await lag(simulation, input)).toBeLessThan(80 * MINUTE)
  }, 60_000)

  it('holds for two processes with the same credential, which share nothing but the log', async () => {
    const limits = [{ periodMs: HOUR, requests: 60 }]
    const inputs = ['12345', '23456'].map((id) => inputConfig({ id, name: `tap_${id}`, requestsLimits: limits, services: four({ requestPeriodMs: 2 * MINUTE, startTime: START }) }))
    const simulation = new TapSimulation(inputs, { now: START + 3 * HOUR })
    simulation.areApart = true
    await simulation.start()
    await simulation.clock.advance(3 * HOUR)
    await simulation.stop()
    expect(most(simulation, HOUR)).toBeLessThanOrEqual(60)
    expect(most(simulation, HOUR)).toBeGreaterThan(50)
    for (const input of inputs) expect(await lag(simulation, input)).toBeLessThan(3 * HOUR)
  }, 60_000)

  it('that another program uses up is waited for, again and again, and nothing is lost', async () => {
    const simulation = new TapSimulation([inputConfig({ services: four({}), endpointMode: 'combined' })], { now: START + HOUR, model: { settings: { quota: 300 } } })
    for (const service of NAMES) for (let at = START; at < START + 30 * HOUR; at += 20 * MINUTE) simulation.model.events.add({ service, createdAt: at, content: { service, at } })
    const authorization = `Basic ${Buffer.from('principal:secret').toString('base64')}`
    await simulation.start()
    for (let hour = 0; hour < 54; hour += 1) {
      for (let request = 0; request < 5; request += 1) simulation.model.handle({ method: 'GET', path: '/v2/siem/issues', query: 'sinceSeconds=60&format=json', authorization })
      await simulation.clock.advance(HOUR)
    }
    expect(simulation.said('the API throttles pool siem (429); another program may use the same credential', 'warn').length).toBeGreaterThan(0)
    expect(simulation.buffer.events.size).toBe(4 * 90)
    expect([...simulation.buffer.events.values()].every((times) => times === 1)).toBe(true)
    await simulation.stop()
  }, 60_000)
})

describe('the mode auto', () => {
  it.each([
    [10 * MINUTE, LIMITS, 'each service has requests of its own, for they fit into the quota'],
    [MINUTE, LIMITS, /its services share requests to \/v2\/siem\/all, for with requests of their own the quota would stretch their periods by 2\.\d, and so by 1\.0/],
    [5 * SECOND, LIMITS, /stretch their periods by \d\d\.\d, and so by 1\d\.\d/],
    [MINUTE, [], /its services share requests/],
  ])('asks what the pools can bear, and says once what it chose: %i ms', async (requestPeriodMs, requestsLimits, reason) => {
    const input = inputConfig({ endpointMode: 'auto', requestsLimits, services: four({ requestPeriodMs }) })
    const simulation = new TapSimulation([input], { now: START + HOUR })
    await simulation.start()
    await simulation.clock.advance(10 * MINUTE)
    await simulation.stop()
    expect(simulation.said('endpoint_mode auto', 'info')).toHaveLength(1)
    expect(simulation.said(reason)).toHaveLength(1)
    const isShared = !String(reason).includes('of its own, for they')
    expect(new Set(simulation.model.log.entries.map(({ path }) => path === '/v2/siem/all'))).toEqual(new Set([isShared]))
  })

  it('looks at all inputs with the credential', async () => {
    const inputs = ['12345', '23456'].map((id) => inputConfig({ id, name: `tap_${id}`, endpointMode: 'auto', services: four({ requestPeriodMs: 4 * MINUTE }) }))
    const simulation = new TapSimulation(inputs, { now: START + HOUR })
    const sources = await simulation.sources()
    expect(simulation.said(/share requests/)).toHaveLength(2)
    for (const source of sources) await source.close()
    const apart = new TapSimulation(inputs.map((input, index) => ({ ...input, username: `principal ${index}` })), { now: START + HOUR })
    for (const source of await apart.sources()) await source.close()
    expect(apart.said(/they fit into the quota/)).toHaveLength(2)
  })

  it('stays separate where nothing is gained', async () => {
    const services = (['clicksBlocked', 'clicksPermitted'] as const).map((name) => serviceConfig(name, { requestPeriodMs: 30 * SECOND }))
    const simulation = new TapSimulation([inputConfig({ endpointMode: 'auto', services })], { now: START + HOUR })
    for (const source of await simulation.sources()) await source.close()
    expect(simulation.said('shared ones would stretch the periods as much')).toHaveLength(1)
    expect(simulation.said('is stretched', 'warn')).toHaveLength(2)
  })
})

describe('long and short periods', () => {
  it.each([['separate'], ['combined']] as const)('every 6 hours brings all of them, late ones too: %s', async (endpointMode) => {
    const input = inputConfig({ endpointMode, services: four({ requestPeriodMs: 6 * HOUR, lookBackMs: 59 * MINUTE }) })
    const simulation = new TapSimulation([input], { now: START + 10 * MINUTE })
    for (const service of NAMES) {
      for (let at = START; at < START + 2 * DAY; at += 17 * MINUTE) simulation.model.events.add({ service, createdAt: at, visibleAt: at + (at % 58) * MINUTE, content: { service, at } })
    }
    await simulation.start()
    await simulation.clock.advance(2 * DAY + 7 * HOUR)
    await simulation.stop()
    expect(simulation.buffer.events.size).toBe(4 * Math.ceil((2 * DAY) / (17 * MINUTE)))
    expect([...simulation.buffer.events.values()].every((times) => times === 1)).toBe(true)
    expect(most(simulation, DAY)).toBeLessThan(150)
  })

  it('every second, without a limit of our own, asks every 30 s at most for what is new', async () => {
    const input = inputConfig({ requestsLimits: [], services: [serviceConfig('clicksBlocked', { requestPeriodMs: SECOND })] })
    const simulation = new TapSimulation([input], { now: START + HOUR, latencyMs: 200 })
    for (let at = START; at < START + 2 * HOUR; at += 10 * SECOND) simulation.model.events.add({ service: 'clicksBlocked', createdAt: at, content: { at } })
    await simulation.start()
    await simulation.clock.advance(5 * MINUTE)
    await simulation.stop()
    expect(simulation.model.log.entries.every(({ status }) => status === 200)).toBe(true)
    expect(simulation.buffer.events.size).toBeGreaterThanOrEqual((65 - 1) * 6 - 2)
    expect([...simulation.buffer.events.values()].every((times) => times === 1)).toBe(true)
    expect(simulation.model.log.entries.length).toBeLessThanOrEqual(310)
  })
})
