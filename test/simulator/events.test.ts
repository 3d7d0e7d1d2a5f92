import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HOSTILE_KINDS, hostileEvent, TapTraffic } from '../../src/simulator/events.ts'
import { TAP_ARRAYS } from '../../src/simulator/tap-api.ts'
import type { TapArray } from '../../src/simulator/tap-api.ts'
import { makeNasty, NASTY, writtenNumber } from '../../src/simulator/tap-event-nasty.ts'
import { makeObject } from '../../src/simulator/tap-event-shapes.ts'
import { TapModel } from '../../src/simulator/tap-model.ts'
import { Random } from '../../src/simulator/tap-random.ts'
import type { TapEvent } from '../../src/simulator/tap-store.ts'

const HOUR = 3_600_000
const NOON = Date.parse('2026-11-20T12:00:00Z')
const AUTHORIZATION = `Basic ${Buffer.from('principal:secret').toString('base64')}`

function write({ content }: Pick<TapEvent, 'content'>): string {
  return typeof content === 'string' ? content : JSON.stringify(content)
}

function list(traffic: TapTraffic, service: TapArray, from: number, to: number): string[] {
  return [...traffic.between(service, from, to)].map((event) => `${event.createdAt} ${event.visibleAt ?? 0} ${write(event)}`)
}

/** The served text of one event, parsed. */
function served(events: readonly TapEvent[]): Record<string, unknown>[] {
  const model = new TapModel({ now: () => NOON, settings: { shuffle: false } })
  model.events.add(...events)
  const answer = model.handle({
    method: 'GET',
    path: '/v2/siem/messages/blocked',
    query: 'format=json&interval=PT1H/2026-11-20T12:00:00Z',
    authorization: AUTHORIZATION,
  })
  // What the model wrote is what these tests look at.
  return (JSON.parse(Buffer.concat([...answer.body]).toString()) as { messagesBlocked: Record<string, unknown>[] }).messagesBlocked
}

describe('traffic', () => {
  const busy = { perHour: 500, nasty: 0.3, twins: 0.3, late: 0.3, lateByMs: HOUR }

  test('comes from the seed alone, each service for itself', () => {
    for (const service of TAP_ARRAYS) {
      const events = list(new TapTraffic({ seed: 1, ...busy }), service, NOON, NOON + HOUR - 1)
      expect(events.length).toBeGreaterThan(400)
      expect(list(new TapTraffic({ seed: 1, ...busy }), service, NOON, NOON + HOUR - 1)).toEqual(events)
      expect(list(new TapTraffic({ seed: 2, ...busy }), service, NOON, NOON + HOUR - 1)).not.toEqual(events)
    }
    expect(list(new TapTraffic({ seed: 1, ...busy }), 'clicksBlocked', NOON, NOON + 60_000)).not.toEqual(
      list(new TapTraffic({ seed: 1, ...busy }), 'clicksPermitted', NOON, NOON + 60_000),
    )
  })

  test('is the same however the time is cut into windows', () => {
    const options = fc.record({ seed: fc.nat(), perHour: fc.constantFrom(0, 0.4, 1, 7, 60, 333), twins: fc.constantFrom(0, 0.5) })
    const cuts = fc.array(fc.integer({ min: NOON - HOUR, max: NOON + HOUR }), { maxLength: 8 })
    fc.assert(
      fc.property(options, cuts, (some, inner) => {
        const traffic = new TapTraffic(some)
        const ends = [NOON - HOUR, ...inner.sort((a, b) => a - b), NOON + HOUR]
        const pieces = ends.slice(1).flatMap((to, index) => list(traffic, 'messagesBlocked', ends[index] ?? 0, to - 1))
        expect(pieces).toEqual(list(traffic, 'messagesBlocked', NOON - HOUR, NOON + HOUR - 1))
      }),
      { numRuns: 60 },
    )
  })

  test('has the volume asked for, also a fraction of one an hour, and one that changes with the hour', () => {
    const day = (perHour: ConstructorParameters<typeof TapTraffic>[0]['perHour']) =>
      list(new TapTraffic({ seed: 3, perHour }), 'clicksBlocked', NOON, NOON + 48 * HOUR - 1).length
    expect(day(10)).toBe(480)
    expect(day(0.5)).toBeGreaterThan(12)
    expect(day(0.5)).toBeLessThan(36)
    expect(day((service, hour) => (service === 'clicksBlocked' && hour === NOON + HOUR ? 17 : 0))).toBe(17)
  })

  test('begins and ends where it is told to', () => {
    const traffic = new TapTraffic({ seed: 1, perHour: 3_600, from: NOON + 60_000, until: NOON + 120_000 })
    const times = [...traffic.between('clicksBlocked', NOON, NOON + HOUR)].map(({ createdAt }) => createdAt)
    expect(times.length).toBeGreaterThan(50)
    expect(Math.min(...times)).toBeGreaterThanOrEqual(NOON + 60_000)
    expect(Math.max(...times)).toBeLessThan(NOON + 120_000)
  })

  test('holds equal twins, and twins for another recipient, in the shares asked for', () => {
    const events = [...new TapTraffic({ seed: 1, perHour: 2_000, twins: 0.2 }).between('messagesBlocked', NOON, NOON + HOUR - 1)]
    expect(events).toHaveLength(2_000)
    const equal = events.length - new Set(events.map(write)).size
    const guids = new Set(events.map(({ content }) => (content as { GUID: string }).GUID))
    const doubled = events.length - guids.size
    expect(equal).toBeGreaterThan(120)
    expect(equal).toBeLessThan(280)
    expect(doubled - equal).toBeGreaterThan(120)
    expect(doubled - equal).toBeLessThan(280)
    const byGuid = Map.groupBy(events, ({ content }) => (content as { GUID: string }).GUID)
    for (const [first, second] of [...byGuid.values()].filter((group) => group.length === 2)) {
      expect(second?.createdAt).toBe(first?.createdAt)
      expect(second?.visibleAt).toBe(first?.visibleAt)
    }
  })

  test('shows a share of its events late', () => {
    const events = [...new TapTraffic({ seed: 1, perHour: 1_000, late: 0.2, lateByMs: HOUR }).between('clicksBlocked', NOON, NOON + HOUR - 1)]
    const delays = events.map(({ createdAt, visibleAt = 0 }) => visibleAt - createdAt)
    expect(delays.filter((delay) => delay > 0).length).toBeGreaterThan(140)
    expect(delays.filter((delay) => delay > 0).length).toBeLessThan(260)
    expect(Math.max(...delays)).toBeGreaterThan(HOUR / 2)
    expect(Math.max(...delays)).toBeLessThan(HOUR)
    expect(Math.min(...delays)).toBe(0)
  })

  test('has messages of about 2 KB', () => {
    const texts = [...new TapTraffic({ seed: 1, perHour: 300 }).between('messagesBlocked', NOON, NOON + HOUR - 1)].map(write)
    const average = texts.reduce((sum, text) => sum + text.length, 0) / texts.length
    expect(average).toBeGreaterThan(1_800)
    expect(average).toBeLessThan(2_800)
  })

  test('of 200,000 events in a window takes no memory', () => {
    const model = new TapModel({ now: () => NOON })
    model.events.supply(new TapTraffic({ seed: 1, perHour: 200_000 }))
    const answer = model.handle({
      method: 'GET',
      path: '/v2/siem/clicks/blocked',
      query: 'format=json&interval=PT1H/2026-11-20T12:00:00Z',
      authorization: AUTHORIZATION,
    })
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void // what the flag above makes known
    const held = (): number => {
      collectGarbage()
      return process.memoryUsage().heapUsed
    }
    const before = held()
    let bytes = 0
    let most = 0
    let measuredAt = 0
    for (const chunk of answer.body) {
      bytes += chunk.length
      if (bytes - measuredAt < 10_000_000) continue
      measuredAt = bytes
      most = Math.max(most, held() - before)
    }
    expect(bytes).toBeGreaterThan(150_000_000)
    expect(most).toBeLessThan(10_000_000)
  })
})

describe('live shapes', () => {
  test('a click has texts only, a message the types and nulls that were seen', () => {
    const click = makeObject('clicksPermitted', NOON, new Random(1))
    for (const value of Object.values(click)) expect(value).toBeTypeOf('string')
    expect(Object.keys(click)).toEqual(expect.arrayContaining(['GUID', 'threatURL', 'threatID', 'messageID', 'clickTime', 'threatStatus']))
    const messages = Array.from({ length: 300 }, (_, seed) => makeObject('messagesBlocked', NOON, new Random(seed)))
    expect(messages[0]).toMatchObject({ GUID: expect.any(String) as unknown, recipient: [expect.any(String)], spamScore: expect.any(Number) as unknown })
    for (const field of ['QID', 'subject', 'headerReplyTo', 'ccAddresses', 'modulesRun']) {
      expect(new Set(messages.map((message) => message[field] === null))).toEqual(new Set([true, false]))
    }
    const threats = messages.flatMap(({ threatsInfoMap }) => threatsInfoMap as Record<string, unknown>[])
    expect(threats.some((threat) => !('threatStatus' in threat))).toBe(true)
    expect(new Set(threats.map(({ threatType }) => threatType))).toEqual(new Set(['URL', 'ATTACHMENT', 'MESSAGE_TEXT', 'url']))
  })
})

describe('odd but allowed events', () => {
  test.each(Object.keys(NASTY))('%s: served as one valid JSON object', (name) => {
    const event = makeObject('messagesBlocked', NOON, new Random(1))
    const made = NASTY[name]?.(event, new Random(2))
    expect(made).toBeDefined()
    const [parsed] = served([{ service: 'messagesBlocked', createdAt: NOON - 1, ...(made ?? { content: {} }) }])
    expect(parsed).toMatchObject({ GUID: event.GUID })
    expect(write(made ?? { content: {} })).not.toBe(write({ content: event }))
  })

  test('numbers keep what they are written like', () => {
    expect(JSON.stringify({ a: writtenNumber('0.0'), b: writtenNumber('12345678901234567890') })).toBe('{"a":0.0,"b":12345678901234567890}')
    expect(() => writtenNumber('01')).toThrow()
  })

  test('all kinds turn up in traffic', () => {
    const random = new Random(1)
    const seen = new Set(Array.from({ length: 1_000 }, () => write(makeNasty({ subject: 's' }, random)).replaceAll(/"x[0-9a-f]{4}"/g, '"x"')))
    // Two kinds change nothing in an event without the fields that they spell otherwise; two are told apart by their style alone.
    expect(seen.size).toBeGreaterThanOrEqual(Object.keys(NASTY).length - 2)
  })
})

describe('hostile elements', () => {
  test.each(HOSTILE_KINDS)('%s', (kind) => {
    const { content } = hostileEvent(kind, 'messagesBlocked', NOON - 1)
    const size = typeof content === 'string' ? content.length : (content as Uint8Array).length
    expect(size).toBeGreaterThan(1)
    const model = new TapModel({ now: () => NOON })
    model.events.add(hostileEvent(kind, 'messagesBlocked', NOON - 1))
    const answer = model.handle({
      method: 'GET',
      path: '/v2/siem/messages/blocked',
      query: 'format=json&interval=PT1H/2026-11-20T12:00:00Z',
      authorization: AUTHORIZATION,
    })
    const bytes = [...answer.body].reduce((sum, chunk) => sum + chunk.length, 0)
    expect(bytes).toBeGreaterThan(size)
  })

  test('an unknown kind is an error that names the known ones', () => {
    expect(() => hostileEvent('nice', 'clicksBlocked', NOON)).toThrow(/known are number, text/)
  })
})
