import { Readable } from 'node:stream'
import fc from 'fast-check'
import { pino } from 'pino'
import { beforeEach, describe, expect, it } from 'vitest'
import { FatalError } from '../../../src/pipeline/errors.ts'
import type { HttpResponse } from '../../../src/sources/proofpoint-tap/http.ts'
import { RequestPool, type Asking } from '../../../src/sources/proofpoint-tap/pool.ts'
import { poolKey, poolsOf, TapPools } from '../../../src/sources/proofpoint-tap/pools.ts'
import { describeLimits, minuteOf, QuotaUse } from '../../../src/sources/proofpoint-tap/quotas.ts'
import { expectedRequests, stretchFactor } from '../../../src/sources/proofpoint-tap/stretch.ts'
import { MemoryBuffer } from '../../support/memory-buffer.ts'
import { inputConfig, serviceConfig } from '../../support/tap-simulation.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'

const START = Date.parse('2026-11-20T00:00:00Z')
const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

describe('counting', () => {
  it('never allows more than the limit in any rolling period, to the millisecond', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20 * MINUTE }), { minLength: 100, maxLength: 100 }), (waits) => {
        const use = new QuotaUse()
        use.addLimits([{ periodMs: 2 * HOUR, requests: 7 }, { periodMs: 10 * HOUR, requests: 20 }])
        let now = START
        const sent: number[] = []
        for (const wait of waits) {
          now += wait
          if (use.reserve(now)) sent.push(now)
        }
        for (const [index, time] of sent.entries()) {
          expect(time - (sent[index - 7] ?? -Infinity)).toBeGreaterThan(2 * HOUR)
          expect(time - (sent[index - 20] ?? -Infinity)).toBeGreaterThan(10 * HOUR)
        }
        expect(sent.length).toBeGreaterThan(10)
      }),
      { seed: 1 },
    )
  })

  it('tells when the next request is allowed', () => {
    const use = new QuotaUse()
    use.addLimits([{ periodMs: DAY, requests: 2 }])
    expect([use.reserve(START), use.reserve(START + HOUR), use.reserve(START + 2 * HOUR)]).toEqual([true, true, false])
    const freeAt = use.freeAt(START + 2 * HOUR)
    expect(freeAt).toBeGreaterThanOrEqual(START + DAY)
    expect(freeAt).toBeLessThanOrEqual(START + DAY + 2 * MINUTE)
    expect(use.reserve(freeAt - 1)).toBe(false)
    expect(use.reserve(freeAt)).toBe(true)
    expect(use.reserve(freeAt)).toBe(false)
  })

  it('starts from what the log holds, also where the clock was in the future then', () => {
    const use = new QuotaUse()
    use.addLimits([{ periodMs: DAY, requests: 3 }])
    use.load([[minuteOf(START - HOUR), 1], [minuteOf(START - 3 * DAY), 500], [minuteOf(START + 400 * DAY), 2]])
    expect(use.reserve(START)).toBe(false)
    expect(use.reserve(START + DAY + 2 * MINUTE)).toBe(true)
  })

  it('counts what is in the log once, however often that is read, and what others wrote into the same minute as well', () => {
    const use = new QuotaUse()
    const minute = minuteOf(START)
    const inFuture: readonly [number, number] = [minute + 9_999, 2]
    use.addLimits([{ periodMs: DAY, requests: 20 }])
    use.load([inFuture])
    for (let request = 0; request < 4; request += 1) use.reserve(START)
    for (let request = 0; request < 3; request += 1) use.written(START)
    expect(use.remaining(START)).toBe(20 - 2 - 4)
    use.load([[minute, 3 + 5], inFuture])
    expect(use.remaining(START)).toBe(20 - 2 - 4 - 5)
    use.reserve(START + 3 * MINUTE)
    use.load([[minute, 3 + 5], inFuture])
    expect(use.remaining(START + 3 * MINUTE)).toBe(20 - 2 - 4 - 5 - 1)
    expect(use.remaining(START + DAY + 6 * MINUTE)).toBe(20)
  })

  it('has no end without a limit', () => {
    const use = new QuotaUse()
    for (let request = 0; request < 5_000; request += 1) expect(use.reserve(START)).toBe(true)
    expect(use.remaining(START)).toBeNull()
  })
})

describe('a limit for a person', () => {
  it.each([
    [MINUTE, '6 in 60 s'], [90 * SECOND, '6 in 90 s'], [90 * MINUTE, '6 in 5400 s'], [HOUR, '6 in 1 h'], [DAY, '6 in 24 h'],
  ])('of %i ms is %s', (periodMs, text) => {
    expect(describeLimits([{ periodMs, requests: 6 }])).toBe(text)
  })
})

describe('stretching periods', () => {
  const rules = (periodMs: number, lookBackMs = 45 * MINUTE, sweepPeriodMs = 15 * MINUTE) => ({ periodMs, lookBackMs, sweepPeriodMs })
  const limits = [{ periodMs: DAY, requests: 1_800 }]

  it('counts light passes, full ones, and full ones of more than an hour', () => {
    expect(expectedRequests(rules(5 * MINUTE), DAY)).toBe(288)
    expect(expectedRequests(rules(5 * MINUTE, 59 * MINUTE), DAY)).toBe(96 * 4)
    expect(expectedRequests(rules(60 * MINUTE), DAY)).toBe(24 * 2)
  })

  it('leaves what fits', () => {
    expect(stretchFactor([rules(144 * SECOND), rules(144 * SECOND), rules(144 * SECOND)], limits)).toBe(1)
    expect(stretchFactor([rules(MINUTE)], [])).toBe(1)
  })

  it('stretches all services of a pool by one factor until they fit', () => {
    const services = [rules(MINUTE), rules(2 * MINUTE), rules(5 * MINUTE)]
    const factor = stretchFactor(services, limits)
    expect(factor).toBeGreaterThan(1)
    expect(factor).toBeLessThan(2)
    const sum = services.reduce((total, service) => total + expectedRequests({ ...service, periodMs: service.periodMs * factor }, DAY), 0)
    expect(sum).toBeLessThanOrEqual(1_800)
    expect(sum).toBeGreaterThan(1_500)
  })

  it('warns once, with what it makes of the periods; inputs with the same credential share the pool', () => {
    const lines: string[] = []
    const log = pino({ base: null }, { write: (line: string) => void lines.push(line) })
    const services = (['clicksBlocked', 'messagesBlocked', 'messagesDelivered'] as const).map((name) => serviceConfig(name, { requestPeriodMs: MINUTE }))
    const input = inputConfig({ services })
    const twin = inputConfig({ name: 'twin', id: '99999', baseUrl: 'https://tap.test/' })
    const pools = new TapPools([input, twin], { clock: new VirtualClock(START), log, quotaLog: new MemoryBuffer() })
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/does not fit into the quota of pool siem \(requests: 1800 in 24 h\) .*clicksBlocked from 60 to 1\d\d s/)
    const [first] = services
    const [other] = twin.services
    if (first === undefined || other === undefined) throw new Error('no service')
    expect(pools.of(input, 'siem')).toBe(pools.of(twin, 'siem'))
    expect(pools.periodOf(input, [first])).toBeGreaterThan(100 * SECOND)
    expect(pools.periodOf(twin, [other])).toBeGreaterThan(500 * SECOND)
  })
})

describe('what status shows', () => {
  it('is one line for each input and pool', () => {
    const input = inputConfig({ services: [serviceConfig('clicksBlocked'), serviceConfig('clicksPermitted'), serviceConfig('messagesBlocked')] })
    const saved = [{ pool: poolKey(input, 'siem'), minutes: [[minuteOf(START - HOUR), 200], [minuteOf(START - 2 * DAY), 900]] as const }]
    expect(poolsOf([input], saved, START)).toEqual([
      { input: 'tap', pool: 'siem', remaining: 1_600, limit: 1_800, used: 200, free_at: '2026-11-20T00:00:00.000Z' },
      { input: 'tap', pool: 'clicks_permitted', remaining: 1_800, limit: 1_800, used: 0, free_at: '2026-11-20T00:00:00.000Z' },
    ])
    expect(poolsOf([{ ...input, requestsLimits: [] }], saved, START)[0]).toMatchObject({ remaining: null, limit: null, used: 200 })
  })

  it('names pools without a secret, one for each credential', () => {
    const input = inputConfig({ username: 'topsecretprincipal' })
    expect(poolKey(input, 'siem')).toMatch(/^[0-9a-f]{16}\/siem$/)
    expect(poolKey(input, 'siem')).not.toBe(poolKey({ ...input, username: 'other' }, 'siem'))
    expect(poolKey(input, 'siem')).toBe(poolKey({ ...input, password: 'other' }, 'siem'))
  })
})

describe('a pool', () => {
  let clock: VirtualClock
  let log: MemoryBuffer
  let lines: string[]
  let pool: RequestPool
  beforeEach(() => {
    clock = new VirtualClock(START)
    log = new MemoryBuffer()
    lines = []
    pool = newPool()
  })

  function newPool(requests = 10): RequestPool {
    const logger = pino({ base: null, level: 'info' }, { write: (line: string) => void lines.push(line) })
    const made = new RequestPool('key/siem', 'siem', { clock, log: logger, quotaLog: log })
    made.use.addLimits([{ periodMs: DAY, requests }])
    return made
  }

  const answer = (status: number, headers: Record<string, string> = {}): HttpResponse => ({ status, headers, body: Readable.from([]) })
  const asking = (overrides: Partial<Asking> = {}): Asking => ({
    member: 'tap/clicksBlocked', isCaughtUp: true, signal: new AbortController().signal, isPatient: true, onWait: () => undefined, ...overrides,
  })
  const send = (request: () => Promise<HttpResponse> | HttpResponse, overrides: Partial<Asking> = {}): Promise<HttpResponse> =>
    pool.send(async () => request(), asking(overrides))

  it('counts a request durably before it is sent', async () => {
    await send(() => {
      expect(log.requestsCounted()).toBe(1)
      return answer(200)
    })
  })

  it('does not try for ever what only a person can mend, and sends nothing', async () => {
    log.count = async () => Promise.reject(new FatalError('buffer.db is damaged'))
    let sent = 0
    await expect(send(() => {
      sent += 1
      return answer(200)
    })).rejects.toThrow('buffer.db is damaged')
    expect(sent).toBe(0)
  })

  it('sends nothing while the count cannot be written, says so, and goes on by itself', async () => {
    let failures = 3
    log.quotaFails = () => failures-- > 0
    const reasons: string[] = []
    let sent = 0
    const work = send(() => {
      sent += 1
      return answer(200)
    }, { onWait: (reason) => void reasons.push(reason) })
    await clock.advance(0)
    expect(sent).toBe(0)
    await clock.run(work)
    expect(sent).toBe(1)
    expect(reasons).toHaveLength(3)
    expect(reasons[0]).toContain('the disk is full')
    expect(log.requestsCounted()).toBe(1)
  })

  it('respects what an earlier process has used', async () => {
    for (let request = 0; request < 10; request += 1) await log.count('key/siem', minuteOf(START - HOUR), 0)
    let sentAt = 0
    await clock.run(send(() => {
      sentAt = clock.now()
      return answer(200)
    }))
    expect(sentAt).toBeGreaterThanOrEqual(START - HOUR + DAY)
    expect(sentAt).toBeLessThanOrEqual(START - HOUR + DAY + 3 * MINUTE)
  })

  it('respects what another process uses meanwhile, few requests or many, each counted once', async () => {
    pool = newPool(8)
    const beside = newPool(8)
    let sent = 0
    const one = (through: RequestPool): Promise<HttpResponse> => through.send(async () => {
      sent += 1
      return Promise.resolve(answer(200))
    }, asking({ isPatient: false }))
    await Promise.all([one(pool), one(pool), one(pool)])
    for (let request = 0; request < 3; request += 1) await one(beside)
    await one(pool)
    await one(pool)
    await expect(one(pool)).rejects.toThrow('no request left')
    await expect(one(beside)).rejects.toThrow('no request left')
    expect(sent).toBe(8)
    expect(log.requestsCounted()).toBe(8)
    beside.close()
    pool.close()

    const many = newPool(1_000)
    await one(many)
    for (let request = 0; request < 900; request += 1) await log.count('key/siem', minuteOf(START), 0)
    let reads = 0
    const load = log.load.bind(log)
    log.load = async (key) => {
      reads += 1
      return load(key)
    }
    await one(many)
    expect(reads).toBe(0)
    await clock.advance(MINUTE)
    await one(many)
    await one(many)
    expect(reads).toBe(1)
    expect(many.use.remaining(clock.now())).toBe(1_000 - 8 - 900 - 4)
  })

  it('waits where no request is left, says until when once, and lets the more urgent go first', async () => {
    const order: string[] = []
    for (let request = 0; request < 10; request += 1) await send(() => answer(200))
    const reasons: string[] = []
    const first = send(() => answer(200))
    await clock.advance(MINUTE)
    const behind = send(() => {
      order.push('behind')
      return answer(200)
    }, { isCaughtUp: false, onWait: (reason) => void reasons.push(reason) })
    await clock.advance(MINUTE)
    const live = send(() => {
      order.push('caught up')
      return answer(200)
    })
    await clock.run(Promise.all([first, behind, live]))
    expect(order).toEqual(['caught up', 'behind'])
    expect(reasons[0]).toMatch(/no request left in pool siem \(10 in 24 h\): the next one at 2026-11-21T00:0[12]:00Z/)
    expect(lines).toHaveLength(1)
    expect(clock.now()).toBeGreaterThanOrEqual(START + DAY)
  })

  it('keeps what a service that has caught up needs from those that are behind', async () => {
    pool.join('tap/clicksBlocked', { periodMs: 4 * HOUR, lookBackMs: 0, sweepPeriodMs: 0 })
    pool.join('tap/messagesBlocked', { periodMs: 4 * HOUR, lookBackMs: 0, sweepPeriodMs: 0 })
    await send(() => answer(200))
    let behind = 0
    const stop = new AbortController()
    const catchUp = async (): Promise<void> => {
      for (;;) {
        await send(() => {
          behind += 1
          return answer(200)
        }, { member: 'tap/messagesBlocked', isCaughtUp: false, signal: stop.signal })
      }
    }
    const work = catchUp().catch(() => undefined)
    await clock.advance(HOUR)
    expect(behind).toBeGreaterThanOrEqual(2)
    expect(behind).toBeLessThan(9)
    await send(() => answer(200), { isPatient: false })
    stop.abort(new Error('stopped'))
    await work
    pool.close()
  })

  it('does not make an impatient request wait', async () => {
    for (let request = 0; request < 10; request += 1) await send(() => answer(200))
    await expect(send(() => answer(200), { isPatient: false })).rejects.toThrow('no request left in pool siem')
  })

  it('stops all requests at a 429 and comes back with one probe after 1, 2, 4 ... 30 minutes', async () => {
    pool = newPool(1_000)
    const sentAt: number[] = []
    let isThrottled = true
    const one = (): Promise<HttpResponse> => send(() => {
      sentAt.push((clock.now() - START) / MINUTE)
      return answer(isThrottled ? 429 : 200)
    })
    const first = one()
    await clock.advance(0)
    const others = [one(), one(), one()]
    await clock.advance(110 * MINUTE)
    expect(sentAt).toEqual([0, 1, 3, 7, 15, 31, 61, 91])
    isThrottled = false
    await clock.run(Promise.all([first, ...others]))
    expect(sentAt.slice(8)).toEqual([121, 121, 121, 121])
    expect(lines.filter((line) => line.includes('429'))).toHaveLength(1)
  })

  it('takes Retry-After, as seconds or as a date', async () => {
    const replies = [answer(429, { 'retry-after': '17' }), answer(429, { date: new Date(START).toUTCString(), 'retry-after': new Date(START + 5 * MINUTE).toUTCString() })]
    const sentAt: number[] = []
    await clock.run(send(() => {
      sentAt.push((clock.now() - START) / SECOND)
      return replies.shift() ?? answer(200)
    }))
    expect(sentAt).toEqual([0, 17, 317])
  })

  it('does not believe a Retry-After that was too short again and again', async () => {
    pool = newPool(1_000)
    let sent = 0
    const work = send(() => {
      sent += 1
      return answer(429, { 'retry-after': '1' })
    })
    work.catch(() => undefined)
    await clock.advance(6 * HOUR)
    expect(sent).toBeLessThan(20)
    pool.close()
  })

  it('gives a waiting request up when its signal aborts', async () => {
    for (let request = 0; request < 10; request += 1) await send(() => answer(200))
    const controller = new AbortController()
    const waiting = send(() => answer(200), { signal: controller.signal })
    await clock.advance(MINUTE)
    controller.abort(new Error('stopped'))
    await expect(waiting).rejects.toThrow('stopped')
    pool.close()
    expect(clock.pendingTimers).toBe(0)
  })
})
