import { once } from 'node:events'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { countEvents } from '../../../src/pipeline/event.ts'
import type { ServiceState, Unit } from '../../../src/pipeline/unit.ts'
import { DAY, HOUR, inputConfig, MINUTE, SECOND, serviceConfig, START, TapSimulation } from '../../support/tap-simulation.ts'

const PATH = '/v2/siem/clicks/blocked'

function addClick(simulation: TapSimulation, createdAt: number, id = `event ${(createdAt - START) / SECOND}`): void {
  simulation.model.events.add({ service: 'clicksBlocked', createdAt, content: { id } })
}

const arrived = (simulation: TapSimulation): string[] => [...simulation.buffer.events.keys()].map((text) => /"id":"([^"]*)"/.exec(text)?.[1] ?? text).sort()
const requestTimes = (simulation: TapSimulation): number[] => simulation.model.log.entries.map(({ time }) => time)

describe('catching up', () => {
  it('reads each of 168 hours once', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 7 * 24 * HOUR - 10 * MINUTE, latencyMs: 300 })
    for (let hour = 0; hour < 168; hour += 1) addClick(simulation, START + hour * HOUR + 20 * MINUTE)
    await simulation.once()
    expect(simulation.buffer.events.size).toBe(168)
    expect([...simulation.buffer.events.values()].every((times) => times === 1)).toBe(true)
    expect(simulation.model.log.entries.length).toBeLessThanOrEqual(170)
    expect(simulation.said('The data is up to date!')).toHaveLength(1)
    expect(simulation.said(/^Statistics for this pull cycle/)[0]?.msg).toMatch(
      /^Statistics for this pull cycle \(@devo_pulling_id=\d+\): Number of requests made: \d+; Number of events received: 168; Number of duplicated events filtered out: 0; Number of events generated and sent: 168; Average of events per second: [\d.]+\.$/,
    )
  })

  it.each([[40 * MINUTE], [-3 * HOUR]])('takes what it reads for final also where the local clock is wrong by %i ms, at the price of a few requests', async (skew) => {
    const now = START + 6 * DAY
    const simulation = new TapSimulation([inputConfig()], { now })
    simulation.clock.skewWall(skew)
    await simulation.once()
    expect((await simulation.buffer.loadService('12345', 'clicksBlocked'))?.settled).toBe(now - 45 * MINUTE)
    expect(simulation.model.log.entries.length).toBeLessThanOrEqual(144 + 3)
  })

  it('lets a service that has caught up go first where requests are scarce', async () => {
    const now = START + 5 * DAY
    const behind = (['messagesBlocked', 'messagesDelivered'] as const).map((name) => serviceConfig(name, { requestPeriodMs: 6 * HOUR }))
    const live = serviceConfig('clicksBlocked', { startTime: now - HOUR, requestPeriodMs: 20 * MINUTE, lookBackMs: 0 })
    const simulation = new TapSimulation([inputConfig({ services: [...behind, live], requestsLimits: [{ periodMs: HOUR, requests: 6 }] })], { now })
    await simulation.start()
    await simulation.clock.advance(20 * HOUR)
    const late = simulation.model.log.entries.filter(({ time }) => time > now + 4 * HOUR)
    const requests = (path: string): number => late.filter((entry) => entry.path === path).length
    expect(requests(PATH)).toBeGreaterThanOrEqual(45)
    expect(requests('/v2/siem/messages/blocked') + requests('/v2/siem/messages/delivered')).toBeGreaterThan(10)
    await simulation.stop()
  })
})

describe('a start', () => {
  it('without a start time reads from now on, and asks at once', async () => {
    const simulation = new TapSimulation([inputConfig({ services: [serviceConfig('clicksBlocked', { startTime: null })] })])
    addClick(simulation, START + 2 * MINUTE)
    await simulation.start()
    await simulation.clock.advance(0)
    expect(simulation.model.log.entries[0]).toMatchObject({ time: START, status: 200 })
    await simulation.clock.advance(6 * MINUTE)
    expect(arrived(simulation)).toEqual(['event 120'])
    await simulation.stop()
  })

  it.each([[HOUR], [8 * MINUTE], [-HOUR], [30 * DAY]])('without a start time, on a local clock that is ahead by %i ms, misses nothing that is created after it', async (skew) => {
    const simulation = new TapSimulation([inputConfig({ services: [serviceConfig('clicksBlocked', { startTime: null })] })])
    simulation.clock.skewWall(skew)
    addClick(simulation, START + SECOND)
    addClick(simulation, START + 20 * MINUTE)
    await simulation.start()
    await simulation.clock.advance(30 * MINUTE)
    expect(arrived(simulation)).toEqual(['event 1', 'event 1200'])
    expect(simulation.buffer.gaps).toEqual([])
    expect((await simulation.buffer.loadService('12345', 'clicksBlocked'))?.settled).toBeLessThanOrEqual(START + 30 * MINUTE)
    await simulation.stop()
  })

  it('in the future waits', async () => {
    const simulation = new TapSimulation([inputConfig({ services: [serviceConfig('clicksBlocked', { startTime: START + 2 * HOUR })] })])
    addClick(simulation, START + HOUR)
    addClick(simulation, START + 2 * HOUR + MINUTE)
    await simulation.start()
    await simulation.clock.advance(2 * HOUR)
    expect(simulation.model.log.entries.length).toBeLessThanOrEqual(1)
    await simulation.clock.advance(10 * MINUTE)
    expect(arrived(simulation)).toEqual(['event 7260'])
    await simulation.stop()
  })

  it.each([[40 * MINUTE], [-40 * MINUTE]])('with a local clock that is wrong by %i ms reads up to the API’s present', async (skew) => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 2 * HOUR })
    simulation.clock.skewWall(skew)
    addClick(simulation, START + 2 * HOUR - MINUTE)
    await simulation.start()
    await simulation.clock.advance(6 * MINUTE)
    expect(arrived(simulation)).toEqual(['event 7140'])
    await simulation.stop()
  })

  it('takes nothing for final by a local clock that is ahead', async () => {
    const now = START + 2 * HOUR
    const simulation = new TapSimulation([inputConfig()], { now })
    simulation.clock.skewWall(40 * MINUTE)
    await simulation.buffer.startService('12345', 'clicksBlocked', now - 65 * MINUTE, START)
    simulation.model.events.add({ service: 'clicksBlocked', createdAt: now - 20 * MINUTE, visibleAt: now + 10 * MINUTE, content: { id: 'late' } })
    await simulation.start()
    await simulation.clock.advance(40 * MINUTE)
    expect(arrived(simulation)).toEqual(['late'])
    await simulation.stop()
  })

  it('makes a pass every period', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 10 * MINUTE })
    await simulation.start()
    await simulation.clock.advance(16 * MINUTE)
    const passes = [...new Set(requestTimes(simulation))]
    expect(passes.map((time) => (time - START) / MINUTE)).toEqual([10, 15, 20, 25])
    expect(simulation.said(/^Data collection completed\. Elapsed time: 0\.000 seconds\. Waiting for 300\.000 second\(s\) until the next one$/)).toHaveLength(4)
    expect(simulation.said('Pull Started')).toHaveLength(4)
    await simulation.stop()
    expect(simulation.clock.pendingTimers).toBe(0)
  })
})

describe('once', () => {
  it('reads everything up to the API’s time minus 30 s, also where the local clock is behind', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 30 * MINUTE })
    simulation.clock.skewWall(-10 * MINUTE)
    addClick(simulation, START + 29 * MINUTE + 29 * SECOND)
    await simulation.once()
    expect(arrived(simulation)).toEqual(['event 1769'])
  })

  it.each([
    [401, 'login refused (401): check inputs.tap.credentials'],
    [403, 'not entitled to clicksBlocked (403)'],
  ])('fails where the login is refused: %i', async (status, message) => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    simulation.model.faults.set({ kind: 'status', status })
    await expect(simulation.once()).rejects.toThrow(message)
    expect(simulation.model.log.entries).toHaveLength(1)
  })

  it('fails so as well where nothing is due', async () => {
    const simulation = new TapSimulation([inputConfig({ services: [serviceConfig('clicksBlocked', { startTime: null })] })])
    simulation.model.faults.set({ kind: 'status', status: 401 })
    await expect(simulation.once()).rejects.toThrow('login refused')
  })

  it('waits out what may go well later', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    simulation.model.faults.set({ kind: 'status', status: 503, times: 3 })
    simulation.model.faults.set({ kind: 'query-end', lagMs: 10 * MINUTE, times: 5 })
    addClick(simulation, START + 55 * MINUTE)
    await simulation.once()
    expect(arrived(simulation)).toEqual(['event 3300'])
  })
})

describe('units', () => {
  const state = (settled: number): ServiceState => ({ settled, readAt: 0, holes: [], seen: [], startTime: START })

  it('of one window come in order, and only the last one moves the mark', async () => {
    const simulation = new TapSimulation([inputConfig({ environment: 'prod' })], { now: START + 3 * HOUR })
    for (let index = 0; index < 25_000; index += 1) addClick(simulation, START + index * 100, `event ${index}`)
    const [source] = await simulation.sources()
    if (source === undefined) throw new Error('no source')
    const units: Unit[] = []
    const stream = source.units('clicksBlocked', state(START), { signal: new AbortController().signal, once: true })
    const work = (async () => {
      for await (const unit of stream as AsyncIterable<Unit>) units.push(unit)
    })()
    await simulation.clock.run(work)
    const first = units.filter(({ window }) => window.from === START)
    expect(first.length).toBeGreaterThanOrEqual(3)
    expect(first.map(({ position }) => position.settled)).toEqual([...first.slice(1).map(() => START), START + HOUR])
    expect(first.flatMap(({ chunks }) => chunks).reduce((sum, chunk) => sum + countEvents(chunk), 0)).toBe(25_000)
    expect(first.reduce((sum, { position }) => sum + (position.seen?.fingerprints.length ?? 0) / 16, 0)).toBe(25_000)
    expect(new Set(units.map(({ pulledAt }) => pulledAt))).toEqual(new Set([START + 3 * HOUR]))
    expect(new Set(units.map(({ environment }) => environment))).toEqual(new Set(['prod']))
    expect(units.at(-1)?.position.settled).toBe(START + 3 * HOUR - 45 * MINUTE)
    expect(units.flatMap(({ position }) => position.forgotten)).toContainEqual({ from: START, to: START + HOUR })
    await source.close()
  })

  it('of an answer that breaks off keep their events, and these do not come again', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 3 * HOUR })
    for (let index = 0; index < 25_000; index += 1) addClick(simulation, START + index * 100, `event ${index}`)
    simulation.model.faults.set({ kind: 'reset', afterBytes: 0.9, times: 1 })
    await simulation.once()
    expect(simulation.buffer.events.size).toBe(25_000)
    expect([...simulation.buffer.events.values()].every((times) => times === 1)).toBe(true)
    expect(simulation.buffer.units.filter(({ position }) => position.settled === START).length).toBeGreaterThanOrEqual(2)
  })

  it('are not read ahead while nobody takes them', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 5 * HOUR })
    const [source] = await simulation.sources()
    const stream = source?.units('clicksBlocked', state(START), { signal: new AbortController().signal, once: true }) ?? Readable.from([])
    await simulation.clock.advance(HOUR)
    expect(simulation.model.log.entries).toHaveLength(0)
    stream.read(0)
    await simulation.clock.advance(HOUR)
    expect(simulation.model.log.entries.length).toBeLessThanOrEqual(2)
    await source?.close()
    expect(simulation.clock.pendingTimers).toBe(0)
  })

  it.each(['while it waits for an answer', 'in the middle of a body', 'between two passes', 'behind a 429'])('stop at once %s', async (when) => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    if (when.includes('answer')) simulation.model.faults.set({ kind: 'stall', afterBytes: null })
    if (when.includes('body')) simulation.model.faults.set({ kind: 'stall', afterBytes: 10 })
    if (when.includes('429')) simulation.model.faults.set({ kind: 'status', status: 429 })
    const [source] = await simulation.sources()
    if (source === undefined) throw new Error('no source')
    const stop = new AbortController()
    const stream = source.units('clicksBlocked', state(START), { signal: stop.signal, once: false })
    stream.resume()
    const closed = once(stream, 'error')
    await simulation.clock.advance(MINUTE)
    stop.abort(new Error('stopped'))
    expect(await closed).toEqual([new Error('stopped')])
    await source.close()
    expect(simulation.clock.pendingTimers).toBe(0)
  })

  it('carry a new pull after an outage, or their events would come with a time long past', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 10 * MINUTE })
    simulation.model.faults.set({ kind: 'status', status: 500, until: START + 3 * HOUR })
    addClick(simulation, START + MINUTE)
    await simulation.start()
    await simulation.clock.advance(4 * HOUR)
    expect(arrived(simulation)).toEqual(['event 60'])
    for (const { pulledAt } of simulation.buffer.units) expect(pulledAt).toBeGreaterThan(START + 2 * HOUR + 50 * MINUTE)
    await simulation.stop()
  })
})

describe('waiting', () => {
  it('for a refused login doubles from 1 to 30 minutes, is shown, and said once', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    const restore = simulation.model.faults.set({ kind: 'status', status: 401 })
    await simulation.start()
    await simulation.clock.advance(130 * MINUTE)
    expect(requestTimes(simulation).map((time) => (time - START - HOUR) / MINUTE)).toEqual([0, 1, 3, 7, 15, 31, 61, 91, 121])
    expect(simulation.reasons()).toEqual(['tap/clicksBlocked: login refused (401): check inputs.tap.credentials'])
    expect(simulation.said('login refused', 'error')).toHaveLength(1)
    restore()
    await simulation.clock.advance(HOUR)
    expect(simulation.reasons()).toEqual([])
    expect(simulation.said(/^Reading goes on after 9060 s$/, 'info')).toHaveLength(1)
    await simulation.stop()
  })

  it('for an API that is down costs a few dozen requests an hour at most, and does not shrink windows for a connection', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 3 * HOUR })
    const reach = simulation.request
    let refused = 0
    simulation.request = async () => {
      refused += 1
      throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    }
    await simulation.start()
    await simulation.clock.advance(HOUR)
    expect(refused).toBeGreaterThan(10)
    expect(refused).toBeLessThan(40)
    expect(simulation.reasons()[0]).toContain('cannot reach https://tap.test: connect ECONNREFUSED')
    simulation.request = reach
    await simulation.clock.advance(10 * MINUTE)
    expect(simulation.model.log.entries[0]?.window).toEqual({ from: START, to: START + HOUR })
    await simulation.stop()
  })

  it('keeps the quota where the API answers now well and now badly', async () => {
    const simulation = new TapSimulation([inputConfig({ services: [serviceConfig('clicksBlocked', { sweepPeriodMs: 0, lookBackMs: 59 * MINUTE })] })], { now: START + 3 * HOUR })
    simulation.model.faults.set({ kind: 'status', status: 503, probability: 0.3 })
    await simulation.start()
    await simulation.clock.advance(5 * HOUR)
    expect(simulation.model.log.entries.length / 5).toBeLessThan(75)
    await simulation.stop()
  })

  it('sends nothing while the requests cannot be counted', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    let isFull = true
    simulation.buffer.quotaFails = () => isFull
    await simulation.start()
    await simulation.clock.advance(10 * MINUTE)
    expect(simulation.model.log.entries).toHaveLength(0)
    expect(simulation.reasons()[0]).toContain('the disk is full')
    isFull = false
    await simulation.clock.advance(2 * MINUTE)
    expect(simulation.model.log.entries.length).toBeGreaterThan(0)
    expect(simulation.reasons()).toEqual([])
    await simulation.stop()
  })

  it('writes no secret into the log', async () => {
    const simulation = new TapSimulation([inputConfig({ password: 'hunter2secret' })], { now: START + HOUR })
    simulation.model.faults.set({ kind: 'status', status: 500, body: 'hunter2secret', times: 2 })
    await simulation.start()
    await simulation.clock.advance(10 * MINUTE)
    expect(simulation.rawLines.join('')).not.toMatch(/hunter2secret|authorization/i)
    expect(simulation.rawLines.join('')).not.toContain(Buffer.from('principal:hunter2secret').toString('base64'))
    await simulation.stop()
  })
})

describe('windows', () => {
  it('are halved where the API fails at large ones, and the rest is read', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 6 * HOUR })
    simulation.model.faults.set({ kind: 'too-many', maxEvents: 5 })
    for (let index = 0; index < 60; index += 1) addClick(simulation, START + index * 6 * MINUTE)
    await simulation.start()
    await simulation.clock.advance(HOUR)
    expect(arrived(simulation)).toHaveLength(60)
    await simulation.stop()
  })

  it('are halved where one takes more than a minute', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 6 * HOUR, latencyMs: 61 * SECOND })
    await simulation.start()
    await simulation.clock.advance(4 * MINUTE)
    const lengths = simulation.model.log.entries.map(({ window }) => ((window?.to ?? 0) - (window?.from ?? 0)) / MINUTE)
    expect(lengths.slice(0, 3)).toEqual([60, 30, 15])
    await simulation.stop()
  })

  it('whose answer trickles for ever are given up', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    for (let index = 0; index < 40; index += 1) addClick(simulation, START + index * MINUTE)
    simulation.model.faults.set({ kind: 'drip', bytes: 1, everyMs: 100 * SECOND, times: 1 })
    await simulation.start()
    await simulation.clock.advance(14 * MINUTE)
    expect(arrived(simulation)).toEqual([])
    await simulation.clock.advance(3 * MINUTE)
    expect(arrived(simulation)).toHaveLength(40)
    await simulation.stop()
  })

  it('count only up to their queryEndTime', async () => {
    const simulation = new TapSimulation([inputConfig({ services: [serviceConfig('clicksBlocked', { lookBackMs: 0 })] })], { now: START + HOUR })
    simulation.model.faults.set({ kind: 'query-end', lagMs: 20 * MINUTE, times: 1 })
    addClick(simulation, START + 50 * MINUTE)
    await simulation.start()
    await simulation.clock.advance(SECOND)
    expect((await simulation.buffer.loadService('12345', 'clicksBlocked'))?.settled).toBeLessThanOrEqual(START + 40 * MINUTE)
    await simulation.clock.advance(6 * MINUTE)
    expect(arrived(simulation)).toEqual(['event 3000'])
    await simulation.stop()
  })
})

describe('holes and gaps', () => {
  it('a piece that the API cannot serve holds up nothing else, and comes in when it is served', async () => {
    const bad = START + 20 * MINUTE
    const simulation = new TapSimulation([inputConfig()], { now: START + 30 * MINUTE })
    const heal = simulation.model.faults.set({ kind: 'status', status: 500, body: 'index unavailable', minute: bad })
    for (let minute = 0; minute < 12 * 60; minute += 5) addClick(simulation, START + minute * MINUTE + 30 * SECOND)
    await simulation.start()
    await simulation.clock.advance(8 * HOUR)
    expect(arrived(simulation)).not.toContain('event 1230')
    const old = Array.from({ length: (8 * 60 + 20) / 5 }, (_, index) => `event ${index * 300 + 30}`)
    expect(old.filter((id) => !arrived(simulation).includes(id))).toEqual(['event 1230'])
    expect(simulation.said(/^A hole: the API cannot serve 2026-11-20T00:.*index unavailable/, 'error')).toHaveLength(1)
    expect(simulation.reasons()).toEqual([expect.stringMatching(/^tap\/clicksBlocked\/holes: the API cannot serve 2026-11-20T00:(19|20).*tried again every hour$/)])
    const state = await simulation.buffer.loadService('12345', 'clicksBlocked')
    expect(state?.holes.reduce((sum, { from, to }) => sum + to - from, 0)).toBeLessThanOrEqual(3 * MINUTE)
    expect(state?.settled).toBeGreaterThan(START + 7 * HOUR)
    const before = simulation.model.log.entries.length
    await simulation.stop()
    await simulation.start()
    heal()
    await simulation.clock.advance(70 * MINUTE)
    expect(arrived(simulation)).toContain('event 1230')
    expect(simulation.reasons()).toEqual([])
    expect([...simulation.buffer.events.values()].every((times) => times === 1)).toBe(true)
    expect(simulation.model.log.entries.length - before).toBeLessThan(20)
    await simulation.stop()
  })

  it('a hole is tried every hour for seven days, then it is a gap', async () => {
    const services = [serviceConfig('clicksBlocked', { requestPeriodMs: 40 * MINUTE })]
    const simulation = new TapSimulation([inputConfig({ services })], { now: START + 30 * MINUTE })
    simulation.model.faults.set({ kind: 'status', status: 500, minute: START + 20 * MINUTE, until: START + 7 * DAY })
    await simulation.start()
    await simulation.clock.advance(DAY)
    const tries = simulation.model.log.entries.filter(({ status, time }) => status === 500 && time > START + 4 * HOUR)
    expect(tries.length).toBeGreaterThan(15)
    expect(tries.length).toBeLessThan(45)
    await simulation.clock.advance(6 * DAY + 2 * HOUR)
    expect((await simulation.buffer.loadService('12345', 'clicksBlocked'))?.holes).toEqual([])
    expect(simulation.buffer.gaps.length).toBeGreaterThan(0)
    const lost = simulation.buffer.gaps.reduce((sum, { from, to }) => sum + to - from, 0)
    expect(lost).toBeLessThanOrEqual(4 * MINUTE)
    expect(simulation.reasons()).toEqual([])
    await simulation.stop()
  }, 60_000)

  it('what is older than seven days is a gap, by the API’s time, and reading goes on ten minutes inside', async () => {
    const now = START + 9 * DAY
    const simulation = new TapSimulation([inputConfig()], { now })
    await simulation.buffer.startService('12345', 'clicksBlocked', START, START)
    addClick(simulation, now - 7 * DAY + 11 * MINUTE)
    await simulation.once()
    expect(simulation.buffer.gaps).toEqual([
      { from: START, to: now - 7 * DAY + 10 * MINUTE, recordedAt: now, reason: expect.stringContaining('too far into the past') as string },
    ])
    expect(arrived(simulation)).toHaveLength(1)
    expect(simulation.said(/^A gap: the events from 2026-11-20T00:00:00Z to 2026-11-22T00:10:00Z are lost/, 'error')).toHaveLength(1)
  })

  it.each([[365 * DAY], [-365 * DAY]])('a local clock that is wrong by %i ms makes no gap', async (skew) => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    simulation.clock.skewWall(skew)
    await simulation.start()
    await simulation.clock.advance(20 * MINUTE)
    expect(simulation.buffer.gaps).toEqual([])
    expect((await simulation.buffer.loadService('12345', 'clicksBlocked'))?.settled).toBeGreaterThan(START)
    await simulation.stop()
  })

  it('a gap costs one request, also where the clocks disagree about where it ends', async () => {
    const now = START + 7 * DAY + 30 * MINUTE
    const simulation = new TapSimulation([inputConfig()], { now })
    await simulation.buffer.startService('12345', 'clicksBlocked', START, START)
    simulation.clock.skewWall(-25 * MINUTE)
    await simulation.start()
    await simulation.clock.advance(10 * SECOND)
    const refused = simulation.model.log.entries.filter(({ status }) => status === 400)
    expect(refused).toHaveLength(simulation.buffer.gaps.length)
    expect(simulation.buffer.gaps.map(({ from, to }) => (to - from) / MINUTE)).toEqual([10, 10, 10])
    await simulation.stop()
  })
})

describe('a Date that is wrong', () => {
  /** Changes the Date of some answers; `request` counts from 1. */
  function tamper(simulation: TapSimulation, dateOf: (request: number) => number | null, status?: number): void {
    const reach = simulation.request
    let requests = 0
    simulation.request = async (request) => {
      const response = await reach(request)
      requests += 1
      const date = dateOf(requests)
      return date === null ? response : { ...response, status: status ?? response.status, headers: { ...response.headers, date: new Date(date).toUTCString() } }
    }
  }

  it.each([[503, 1], [503, 9], [200, 2], [200, 3], [200, 6]])('far in the future, first of all (%i, %i times), loses nothing', async (status, times) => {
    const now = START + 5 * HOUR
    const simulation = new TapSimulation([inputConfig()], { now })
    tamper(simulation, (request) => (request <= times ? now + 10 * DAY : null), status)
    for (let hour = 0; hour < 5; hour += 1) addClick(simulation, START + hour * HOUR)
    await simulation.start()
    await simulation.clock.advance(HOUR)
    expect(simulation.buffer.gaps).toEqual([])
    expect(arrived(simulation)).toHaveLength(5)
    expect((await simulation.buffer.loadService('12345', 'clicksBlocked'))?.settled).toBeLessThanOrEqual(now + 15 * MINUTE)
    await simulation.stop()
  })

  it('is not what a first start begins at', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    tamper(simulation, () => 0)
    const [source] = await simulation.sources()
    await source?.check(new AbortController().signal)
    expect(source?.serverTime()).toBe(START + 55 * MINUTE)
    await source?.close()
  })

  it('in every answer makes no gap of what the API still has', async () => {
    const now = START + 5 * HOUR
    const simulation = new TapSimulation([inputConfig()], { now, model: { settings: { dateSkewMs: 10 * DAY } } })
    for (let hour = 0; hour < 5; hour += 1) addClick(simulation, START + hour * HOUR)
    await simulation.start()
    await simulation.clock.advance(HOUR)
    expect(simulation.buffer.gaps).toEqual([])
    expect(arrived(simulation)).toHaveLength(5)
    await simulation.stop()
  })

  it.each([[1], [2], [3], [7]])('far in the past, %i times, does not stop the reading, and costs one question a pass', async (times) => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 5 * HOUR })
    tamper(simulation, (request) => (request > 8 && request <= 8 + times ? 0 : null))
    for (let minute = 0; minute < 10 * 60; minute += 10) addClick(simulation, START + minute * MINUTE)
    await simulation.start()
    await simulation.clock.advance(4 * HOUR)
    expect(arrived(simulation).length).toBeGreaterThanOrEqual(9 * 6 - 1)
    expect(simulation.model.log.entries.length).toBeLessThan(5 + 48 + 2 * times + 8)
    expect((await simulation.buffer.loadService('12345', 'clicksBlocked'))?.settled).toBeGreaterThan(START + 7 * HOUR)
    await simulation.stop()
  })

  it.each([[1, 1], [1, 2], [2, 1], [2, 2], [2, 3], [2, 8]])('far in the past from answer %i on, %i times, is no reason for once to end', async (first, times) => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 5 * HOUR })
    tamper(simulation, (request) => (request >= first && request < first + times ? 0 : null))
    for (let hour = 0; hour < 5; hour += 1) addClick(simulation, START + hour * HOUR + 59 * MINUTE)
    await simulation.once()
    expect(arrived(simulation)).toHaveLength(5)
    expect(simulation.said('The data is up to date!')).toHaveLength(1)
  })

  it('is not called up to date by, while it is in doubt', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 5 * HOUR })
    let isWrong = false
    let turn = 0
    tamper(simulation, () => (isWrong ? (turn++ % 2) * DAY : null))
    await simulation.start()
    await simulation.clock.advance(6 * MINUTE)
    const said = simulation.said('The data is up to date!').length
    expect(said).toBeGreaterThan(0)
    isWrong = true
    const requests = simulation.model.log.entries.length
    await simulation.clock.advance(2 * HOUR)
    expect(simulation.said('The data is up to date!')).toHaveLength(said)
    expect(simulation.model.log.entries.length - requests).toBeLessThanOrEqual(24 + 1)
    isWrong = false
    await simulation.clock.advance(15 * MINUTE)
    expect(simulation.said('The data is up to date!').length).toBeGreaterThan(said)
    await simulation.stop()
  })

  it.each([[HOUR], [-HOUR]])('is none where the API’s clock was set by %i ms: it heals in a few passes', async (shift) => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 5 * HOUR })
    await simulation.start()
    await simulation.clock.advance(MINUTE)
    simulation.model.configure({ clockSkewMs: shift })
    await simulation.clock.advance(25 * MINUTE)
    const said = simulation.said('The data is up to date!').length
    await simulation.clock.advance(10 * MINUTE)
    expect(simulation.said('The data is up to date!')).toHaveLength(said + 2)
    expect(simulation.reasons()).toEqual([])
    const { model, clock } = simulation
    addClick(simulation, model.serverTime() + 2 * HOUR, 'after')
    await clock.advance(2 * HOUR + 10 * MINUTE)
    expect(arrived(simulation)).toEqual(['after'])
    await simulation.stop()
  })
})

describe('check', () => {
  it('sends one counted request of the shortest window for each pool in use', async () => {
    const services = [serviceConfig('clicksBlocked'), serviceConfig('messagesBlocked'), serviceConfig('clicksPermitted')]
    const simulation = new TapSimulation([inputConfig({ services })], { now: START + HOUR })
    const [source] = await simulation.sources()
    await source?.check(new AbortController().signal)
    expect(simulation.model.log.entries.map(({ pool, status }) => [pool, status])).toEqual([['siem', 200], ['clicks_permitted', 200]])
    expect(simulation.model.log.entries.every(({ window }) => window !== null && window.to - window.from === 30 * SECOND)).toBe(true)
    expect(simulation.buffer.requestsCounted()).toBe(2)
    await source?.close()
  })

  it.each([
    [{ kind: 'status', status: 401 }, /login refused/],
    [{ kind: 'status', status: 429 }, /429/],
    [{ kind: 'html' }, /HTML page/],
    [{ kind: 'missing-array' }, /not what the API promises/],
  ] as const)('says what is wrong: %o', async (fault, message) => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    simulation.model.faults.set(fault)
    const [source] = await simulation.sources()
    await expect(source?.check(new AbortController().signal)).rejects.toThrow(message)
    await source?.close()
    expect(simulation.clock.pendingTimers).toBe(0)
  })

  it.each([[HOUR], [-HOUR], [30 * DAY], [-30 * DAY]])('is not put off by a local clock that is wrong by %i ms', async (skew) => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    simulation.clock.skewWall(skew)
    const [source] = await simulation.sources()
    await source?.check(new AbortController().signal)
    await source?.close()
  })
})
