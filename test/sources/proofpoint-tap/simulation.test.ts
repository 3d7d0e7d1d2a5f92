import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TAP_ARRAYS, type TapArray } from '../../../src/simulator/tap-api.ts'
import type { TapFault } from '../../../src/simulator/tap-faults.ts'
import { Random } from '../../../src/simulator/tap-random.ts'
import type { TapServiceName } from '../../../src/sources/proofpoint-tap/config.ts'
import { TAP_SERVICES } from '../../../src/sources/proofpoint-tap/services.ts'
import { DAY, HOUR, inputConfig, MINUTE, SECOND, serviceConfig, START, TapSimulation } from '../../support/tap-simulation.ts'

/** Events are created in this time; then it runs on until all of it is settled. */
const HOURS = 4

/** One service that asks for itself, or the four of them sharing their requests, or one that has events of two kinds beside another. */
type Setting = 'alone' | 'shared' | 'two kinds'

const NAMES: Readonly<Record<Setting, readonly TapServiceName[]>> = {
  alone: ['messagesBlocked'],
  shared: ['clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered'],
  'two kinds': ['issues', 'messagesBlocked'],
}
const kinds = (setting: Setting): readonly TapArray[] =>
  TAP_ARRAYS.filter((array) => NAMES[setting].some((name) => TAP_SERVICES[name].arrays.includes(array)))

interface Scenario {
  readonly setting: Setting
  readonly seed: number
  readonly periodMs: number
  readonly lookBackMs: number
  readonly sweepPeriodMs: number
  readonly faults: readonly TapFault[]
  /** Shares of the appends that fail before or after they are durable. */
  readonly lostAppends: number
  readonly unknownAppends: number
  /** Minutes at which the process is killed and started again. */
  readonly restarts: readonly number[]
  /** How wrong the local clock is. */
  readonly skewMs: number
  readonly latencyMs: number
}

const ENDPOINTS = ['/v2/siem/all', '/v2/siem/messages/blocked', '/v2/siem/clicks/permitted', '/v2/siem/issues']

const minutes = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max }).map((value) => value * MINUTE)

/** A fault that begins and ends while events are created. */
const fault: fc.Arbitrary<TapFault> = fc
  .record({ begin: minutes(0, 180), length: minutes(1, 60), probability: fc.constantFrom(0.3, 0.8, 1), path: fc.constantFrom(null, null, ...ENDPOINTS) })
  .chain(({ begin, length, probability, path }) => {
    const scope = { from: START + begin, until: START + begin + length, probability, ...(path !== null && { path }) }
    return fc.constantFrom<TapFault>(
      { kind: 'status', status: 503, body: 'Service Unavailable', ...scope },
      { kind: 'status', status: 429, retryAfter: 120, ...scope },
      { kind: 'status', status: 429, ...scope },
      { kind: 'status', status: 401, ...scope },
      { kind: 'status', status: 400, body: 'Bad Request', ...scope },
      { kind: 'html', ...scope },
      { kind: 'empty', ...scope },
      { kind: 'missing-array', ...scope },
      { kind: 'array', text: '{"a":1}', ...scope },
      { kind: 'trailing', text: '[]', ...scope },
      { kind: 'too-many', maxEvents: 8, ...scope },
      { kind: 'query-end', lagMs: 90 * SECOND, ...scope },
      { kind: 'headers', headers: { age: '600' }, ...scope },
      { kind: 'headers', headers: { date: new Date(0).toUTCString() }, ...scope },
      { kind: 'headers', headers: { date: new Date(START - 2 * HOUR).toUTCString() }, ...scope },
      { kind: 'truncate', afterBytes: 0.6, framing: 'length', ...scope },
      { kind: 'truncate', afterBytes: 0.7, framing: 'ended', ...scope },
      { kind: 'reset', afterBytes: 0.5, ...scope },
      { kind: 'stall', afterBytes: null, ...scope },
      { kind: 'stall', afterBytes: 0.4, ...scope },
      { kind: 'drip', bytes: 2_000, everyMs: 20 * SECOND, ...scope },
    )
  })

/** A minute that the API cannot serve for a while, with whatever window it is asked for: long enough to become a hole, or not. */
const hole: fc.Arbitrary<TapFault[]> = fc
  .record({ begin: minutes(0, 120), minute: minutes(-60, 60), length: minutes(10, 180), isOfAll: fc.boolean() })
  .map(({ begin, minute, length, isOfAll }) => {
    const scope = { minute: START + Math.max(0, begin + minute), from: START + begin, until: START + begin + length }
    const broken = { kind: 'status', status: 500, body: 'index unavailable', ...scope } as const
    return isOfAll ? [broken] : ['/v2/siem/all', '/v2/siem/messages/blocked'].map((path) => ({ ...broken, path }))
  })

const scenario = (setting: Setting): fc.Arbitrary<Scenario> => fc.record({
  setting: fc.constant(setting),
  seed: fc.integer({ min: 1, max: 1_000_000 }),
  periodMs: fc.constantFrom(MINUTE, 5 * MINUTE, 10 * MINUTE),
  lookBackMs: fc.constantFrom(0, 10 * MINUTE, 45 * MINUTE, 59 * MINUTE),
  sweepPeriodMs: fc.constantFrom(0, 15 * MINUTE, 30 * MINUTE),
  faults: fc.tuple(fc.array(fault, { maxLength: 3 }), fc.array(hole, { maxLength: 1 })).map((lists) => lists.flat(2)),
  lostAppends: fc.constantFrom(0, 0.05, 0.2),
  unknownAppends: fc.constantFrom(0, 0.05, 0.2),
  restarts: fc.array(fc.integer({ min: 1, max: 230 }), { maxLength: 3 }),
  skewMs: fc.constantFrom(0, -4 * MINUTE, 3 * MINUTE, 40 * MINUTE, -3 * HOUR),
  latencyMs: fc.constantFrom(0, 400, 5_000),
})

interface Expected {
  readonly service: TapArray
  readonly text: string
  readonly copies: number
  /** The look-back covers all of them. */
  readonly isCovered: boolean
}

/** Late, flapping, byte-identical events, some of them exactly on the ends of minutes; some too late for the look-back. */
function addEvents(simulation: TapSimulation, service: TapArray, { setting, seed, lookBackMs }: Scenario): Expected[] {
  const random = new Random(seed, 'schedule', service)
  const between = (low: number, high: number): number => low + Math.floor(random.next() * (high - low + 1))
  return Array.from({ length: 150 / kinds(setting).length }, (_, index) => {
    const createdAt = START + (random.chance(0.2) ? between(0, HOURS * 60) * MINUTE : between(0, HOURS * HOUR))
    const isCovered = !random.chance(0.05)
    const copies = random.chance(0.15) ? between(2, 4) : 1
    const content = {
      GUID: `${service} ${index}`,
      threatsInfoMap: [{ threatID: 'a', classification: 'phish' }, { threatID: 'b', classification: 'malware' }],
    }
    for (let copy = 0; copy < copies; copy += 1) {
      const visibleAt = createdAt + (isCovered ? between(0, lookBackMs) : lookBackMs + between(0, HOUR))
      const hiddenFrom = between(visibleAt, Math.max(visibleAt, createdAt + lookBackMs))
      const hidden = isCovered && random.chance(0.2) ? [[hiddenFrom, between(hiddenFrom, Math.max(hiddenFrom, createdAt + lookBackMs))] as const] : []
      simulation.model.events.add({ service, createdAt, visibleAt, hidden, content })
    }
    return { service, text: `${service} ${index}`, copies, isCovered }
  })
}

/** How often each event came in, whatever the order of what is inside it. */
function arrivals(simulation: TapSimulation): Map<string, number> {
  const times = new Map<string, number>()
  for (const [text, count] of simulation.buffer.events) {
    const name = /"GUID":"([^"]*)"/.exec(text)?.[1] ?? text
    times.set(name, (times.get(name) ?? 0) + count)
  }
  return times
}

async function run(simulation: TapSimulation, plan: Scenario, untilMinute: number): Promise<void> {
  const random = new Random(plan.seed, 'appends')
  simulation.clock.skewWall(plan.skewMs)
  for (const entry of plan.faults) simulation.model.faults.set(entry)
  simulation.buffer.fate = () => {
    const draw = random.next()
    if (simulation.clock.trueTime() > START + HOURS * HOUR) return 'well'
    return draw < plan.lostAppends ? 'fails' : draw < plan.lostAppends + plan.unknownAppends ? 'fails but is durable' : 'well'
  }
  await simulation.start()
  let minute = 0
  for (const restart of [...plan.restarts].sort((a, b) => a - b)) {
    await simulation.clock.advance((restart - minute) * MINUTE)
    minute = restart
    await simulation.stop()
    await simulation.start()
  }
  await simulation.clock.advance((untilMinute - minute) * MINUTE)
  await simulation.stop()
}

function newSimulation(plan: Scenario): TapSimulation {
  const { periodMs: requestPeriodMs, lookBackMs, sweepPeriodMs, seed, latencyMs } = plan
  const services = NAMES[plan.setting].map((name) => serviceConfig(name, { requestPeriodMs, lookBackMs, sweepPeriodMs }))
  return new TapSimulation([inputConfig({ services, endpointMode: 'combined' })], { model: { seed }, latencyMs })
}

function check(simulation: TapSimulation, expected: readonly Expected[]): void {
  const came = arrivals(simulation)
  const wrong = expected.filter(({ text, copies, isCovered }) => {
    const times = came.get(text) ?? 0
    return isCovered ? times !== copies : times > copies
  })
  expect(wrong.map(({ text, copies }) => `${text}: ${came.get(text) ?? 0} of ${copies}`)).toEqual([])
  expect(came.size).toBeLessThanOrEqual(expected.length)
}

describe('a simulation of hours', () => {
  it.each([['alone', 16], ['shared', 8], ['two kinds', 6]] as const)('brings every event that shows within the look-back into the buffer exactly once: %s', async (setting, numRuns) => {
    await fc.assert(
      fc.asyncProperty(scenario(setting), async (plan) => {
        const simulation = newSimulation(plan)
        const expected = kinds(setting).flatMap((service) => addEvents(simulation, service, plan))
        await run(simulation, plan, HOURS * 60 + 5 * 60)
        check(simulation, expected)
        expect(simulation.buffer.gaps).toEqual([])
        for (const service of NAMES[setting]) expect((await simulation.buffer.loadService('12345', service))?.holes).toEqual([])
        expect(simulation.model.log.mostInADay('siem')).toBeLessThanOrEqual(1_800)
        expect(simulation.model.log.entries.length).toBeLessThanOrEqual(simulation.buffer.requestsCounted())
      }),
      { seed: 20261124, numRuns, endOnFailure: true },
    )
  }, 120_000)

  it('never sends more than the limit in any 24 hours, across restarts and several services, and still catches up', async () => {
    const services = (['clicksBlocked', 'messagesBlocked', 'messagesDelivered'] as const).map((name) => serviceConfig(name, { requestPeriodMs: 10 * MINUTE }))
    const simulation = new TapSimulation([inputConfig({ services, requestsLimits: [{ periodMs: DAY, requests: 300 }] })], { now: START + 2 * DAY })
    for (let hour = 0; hour < 5 * 24; hour += 1) simulation.model.events.add({ service: 'messagesBlocked', createdAt: START + hour * HOUR, content: { hour } })
    await simulation.start()
    for (let restart = 0; restart < 12; restart += 1) {
      await simulation.clock.advance(7 * HOUR)
      await simulation.stop()
      await simulation.start()
    }
    await simulation.stop()
    const most = simulation.model.log.mostInADay('siem')
    expect(most).toBeLessThanOrEqual(300)
    expect(most).toBeGreaterThan(250)
    const days = (5 * DAY - 12 * HOUR) / HOUR
    expect(simulation.buffer.events.size).toBeGreaterThanOrEqual(days)
    expect(simulation.said('is stretched', 'warn').length).toBe(13)
  }, 60_000)
})
