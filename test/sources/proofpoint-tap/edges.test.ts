import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, expect, it, vi } from 'vitest'
import { eventTime } from '../../../src/sources/proofpoint-tap/event-time.ts'
import type { HttpResponse } from '../../../src/sources/proofpoint-tap/http.ts'
import { isTooMuch } from '../../../src/sources/proofpoint-tap/windows.ts'
import { DAY, HOUR, inputConfig, MINUTE, SECOND, serviceConfig, START, TapSimulation } from '../../support/tap-simulation.ts'

function addClicks(simulation: TapSimulation, from: number, to: number, everyMs: number): void {
  for (let at = from; at < to; at += everyMs) simulation.model.events.add({ service: 'clicksBlocked', createdAt: at, content: { id: `click ${(at - START) / SECOND}` } })
}

const eachOnce = (simulation: TapSimulation): boolean => [...simulation.buffer.events.values()].every((times) => times === 1)

describe('the local clock', () => {
  it.each([[-HOUR], [HOUR], [-400 * DAY], [400 * DAY], [-SECOND]])('that is set by %i ms while the collector runs changes neither the pace nor what arrives', async (jump) => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    addClicks(simulation, START, START + 6 * HOUR, 5 * MINUTE)
    await simulation.start()
    await simulation.clock.advance(HOUR)
    simulation.clock.skewWall(jump)
    const before = simulation.model.log.entries.length
    await simulation.clock.advance(2 * HOUR)
    expect(simulation.model.log.entries.length - before).toBeGreaterThanOrEqual(23)
    expect(simulation.model.log.entries.length - before).toBeLessThanOrEqual(26)
    await simulation.stop()
    await simulation.start()
    await simulation.clock.advance(2 * HOUR)
    expect(simulation.buffer.events.size).toBe(12 * 6)
    expect(eachOnce(simulation)).toBe(true)
    expect(simulation.buffer.gaps).toEqual([])
    await simulation.stop()
  })
})

describe('a leap second', () => {
  it('in a Date and in queryEndTime harms nothing', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    addClicks(simulation, START, START + 3 * HOUR, 5 * MINUTE)
    const reach = simulation.request
    let requests = 0
    simulation.request = async (request): Promise<HttpResponse> => {
      const response = await reach(request)
      requests += 1
      if (requests % 3 !== 0) return response
      const body = (await text(response.body)).replace(/"queryEndTime":"([^"]*):\d\dZ"/, '"queryEndTime":"$1:60Z"')
      const date = (response.headers.date as string).replace(/:\d\d GMT/, ':60 GMT')
      return { ...response, headers: { ...response.headers, date }, body: Readable.from([Buffer.from(body)], { objectMode: false }) }
    }
    await simulation.start()
    await simulation.clock.advance(2.5 * HOUR)
    expect(simulation.buffer.events.size).toBe(36)
    expect(eachOnce(simulation)).toBe(true)
    expect((await simulation.buffer.loadService('12345', 'clicksBlocked'))?.settled).toBeGreaterThan(START + 2 * HOUR)
    await simulation.stop()
  })

  it('in an event is carried as it was written, and its time is the end of the minute', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    const content = { id: 'leap', clickTime: '2026-11-20T00:29:60Z', threatTime: '2026-11-20T00:29:60.500Z' }
    simulation.model.events.add({ service: 'clicksBlocked', createdAt: START + 30 * MINUTE, content })
    await simulation.once()
    const [text = ''] = [...simulation.buffer.events.keys()].map((key) => key.slice(key.indexOf('{')))
    expect(JSON.parse(text)).toEqual(content)
    expect(eventTime(Buffer.from(text))).toBe(START + 30 * MINUTE - 1)
  })
})

describe('the zone of this machine, on the night when its clock is set back', () => {
  it.each(['America/New_York', 'UTC'])('changes nothing: %s', async (zone) => {
    vi.stubEnv('TZ', zone)
    try {
      const night = Date.parse('2026-11-01T04:00:00Z')
      expect(new Date(night).getTimezoneOffset()).toBe(zone === 'UTC' ? 0 : 240)
      const simulation = new TapSimulation([inputConfig({ services: [serviceConfig('clicksBlocked', { startTime: night })] })], { now: night })
      const clickTime = (at: number): string => new Date(at).toISOString().slice(0, -1)
      for (let at = night; at < night + 4 * HOUR; at += 5 * MINUTE) simulation.model.events.add({ service: 'clicksBlocked', createdAt: at, content: { clickTime: clickTime(at) } })
      await simulation.start()
      await simulation.clock.advance(5 * HOUR)
      await simulation.stop()
      expect(simulation.buffer.events.size).toBe(48)
      expect(eachOnce(simulation)).toBe(true)
      expect(simulation.model.log.entries.filter(({ status }) => status !== 200)).toEqual([])
      expect((await simulation.buffer.loadService('12345', 'clicksBlocked'))?.settled).toBeGreaterThan(night + 4 * HOUR)
      // Without an offset: one of the two hours that this zone has twice.
      expect(eventTime(Buffer.from('{"clickTime":"2026-11-01T01:30:00"}'))).toBe(night - 2.5 * HOUR)
    } finally {
      vi.unstubAllEnvs()
    }
  })
})

describe('between two starts', () => {
  it.each(['separate', 'combined'] as const)('a service that is added begins at its start, one that is taken out keeps its mark for the day it comes back: %s', async (endpointMode) => {
    const [clicks, messages] = [serviceConfig('clicksBlocked'), serviceConfig('messagesBlocked')]
    const simulation = new TapSimulation([inputConfig({ endpointMode, services: [clicks] })], { now: START + HOUR })
    addClicks(simulation, START, START + 8 * HOUR, 5 * MINUTE)
    const run = async (services: readonly ReturnType<typeof serviceConfig>[]): Promise<void> => {
      simulation.inputs = [inputConfig({ endpointMode, services })]
      await simulation.start()
      await simulation.clock.advance(HOUR)
      await simulation.stop()
    }
    await run([clicks])
    await run([clicks, messages])
    const mark = (await simulation.buffer.loadService('12345', 'clicksBlocked'))?.settled
    await run([messages])
    expect((await simulation.buffer.loadService('12345', 'clicksBlocked'))?.settled).toBe(mark)
    await run([clicks, messages])
    expect(simulation.said(/First start, from/).map(({ service }) => service)).toEqual(['clicksBlocked', 'messagesBlocked'])
    expect(simulation.buffer.events.size).toBe(5 * 12)
    expect(eachOnce(simulation)).toBe(true)
  })

  it('a changed id is a new input: it begins at its own start, and brings again what the old one had', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + HOUR })
    addClicks(simulation, START, START + HOUR, 10 * MINUTE)
    await simulation.once()
    simulation.inputs = [inputConfig({ id: '54321' })]
    await simulation.once()
    expect(simulation.said(/First start, from/)).toHaveLength(2)
    expect([...simulation.buffer.events.keys()].filter((key) => key.startsWith('54321/'))).toHaveLength(6)
    expect([...simulation.buffer.events.keys()].filter((key) => key.startsWith('12345/'))).toHaveLength(6)
  })
})

describe('a long look-back', () => {
  it.each(['separate', 'combined'] as const)('of 59 minutes, swept once in seven days, brings what is late by that much: %s', async (endpointMode) => {
    const services = (['clicksBlocked', 'messagesBlocked'] as const).map((name) => serviceConfig(name, { requestPeriodMs: 30 * MINUTE, lookBackMs: 59 * MINUTE, sweepPeriodMs: 7 * DAY }))
    const simulation = new TapSimulation([inputConfig({ endpointMode, services })], { now: START + MINUTE })
    for (let at = START; at < START + 3 * DAY; at += HOUR) simulation.model.events.add({ service: 'messagesBlocked', createdAt: at, visibleAt: at + 59 * MINUTE, content: { at } })
    await simulation.start()
    await simulation.clock.advance(5 * DAY)
    const early = simulation.buffer.events.size
    await simulation.clock.advance(2 * DAY)
    expect(early).toBeLessThan(72)
    expect(simulation.buffer.events.size).toBe(72)
    expect(eachOnce(simulation)).toBe(true)
    expect(simulation.buffer.gaps).toEqual([])
    await simulation.stop()
  })
})

describe('windows', () => {
  it('grow again once the API has recovered', async () => {
    const now = START + 5 * DAY
    const simulation = new TapSimulation([inputConfig()], { now, latencyMs: SECOND })
    addClicks(simulation, START, now, MINUTE)
    const heal = simulation.model.faults.set({ kind: 'too-many', maxEvents: 10 })
    await simulation.start()
    await simulation.clock.advance(3 * MINUTE)
    const lengths = (): number[] => simulation.model.log.entries.filter(({ status }) => status === 200).map(({ window }) => ((window?.to ?? 0) - (window?.from ?? 0)) / MINUTE)
    expect(Math.max(...lengths())).toBeLessThanOrEqual(10)
    heal()
    await simulation.clock.advance(10 * MINUTE)
    expect(lengths()).toContain(60)
    expect(simulation.buffer.events.size).toBe(5 * 24 * 60)
    await simulation.stop()
  })

  it('are halved where an answer is larger than 256 MiB, although it was read', async () => {
    const simulation = new TapSimulation([inputConfig()], { now: START + 6 * HOUR })
    addClicks(simulation, START, START + 5 * HOUR, 5 * MINUTE)
    const reach = simulation.request
    let isFirst = true
    simulation.request = async (request): Promise<HttpResponse> => {
      const response = await reach(request)
      if (!isFirst) return response
      isFirst = false
      const body = await text(response.body)
      return { ...response, body: Readable.from(withLargeEvent(body, 257), { objectMode: false }) }
    }
    await simulation.once()
    const lengths = simulation.model.log.entries.slice(0, 3).map(({ window }) => ((window?.to ?? 0) - (window?.from ?? 0)) / MINUTE)
    expect(lengths).toEqual([60, 30, 30])
    expect(simulation.buffer.events.size).toBe(60)
    expect(eachOnce(simulation)).toBe(true)
  })

  it.each([
    [{ tookMs: 60_001, bytes: 0 }, true], [{ tookMs: 60_000, bytes: 268_435_456 }, false], [{ tookMs: 0, bytes: 268_435_457 }, true],
  ])('%o are too much for the next one to be as long: %s', (answer, expected) => {
    expect(isTooMuch(answer)).toBe(expected)
  })
})

/** With one more event in its array, of so many MiB: in pieces, for no string holds it. */
function* withLargeEvent(body: string, mebibytes: number): Generator<Buffer, void, undefined> {
  const at = body.indexOf('[') + 1
  const piece = Buffer.alloc(64 * 1024, 'x')
  yield Buffer.from(`${body.slice(0, at)}{"url":"`)
  for (let sent = 0; sent < mebibytes * 16; sent += 1) yield Buffer.from(piece)
  yield Buffer.from(`"},${body.slice(at)}`)
}
