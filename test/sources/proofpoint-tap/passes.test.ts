import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Passes } from '../../../src/sources/proofpoint-tap/passes.ts'
import type { Instant, PassRules, Step } from '../../../src/sources/proofpoint-tap/steps.ts'
import { cutWindow, HOUR_MS, LONGEST_WINDOW_MS, MINUTE_MS, SECOND_MS, SHORTEST_WINDOW_MS, WindowLength, writeWindow } from '../../../src/sources/proofpoint-tap/windows.ts'

const START = Date.parse('2026-11-20T00:00:00Z')
const RULES: PassRules = { periodMs: 5 * MINUTE_MS, lookBackMs: 45 * MINUTE_MS, sweepPeriodMs: 15 * MINUTE_MS }

const at = (server: number, isKnown = true): Instant => ({ server, isKnown, local: server, monotonic: server - START })
const planner = (settled: number, rules: Partial<PassRules> = {}): Passes => new Passes({ ...RULES, ...rules }, { settled, holes: [] })

function serve(passes: Passes, step: Step, server: number, servedTo = step.window.to): void {
  passes.served(step, { servedTo, requestedAt: server, isTooMuch: false, now: at(server) })
}

/** Every step of a pass, each served at once; the API's clock stands still. */
function runPass(passes: Passes, server: number): Step[] {
  passes.begin(at(server))
  const steps: Step[] = []
  for (let step = passes.next(at(server)); step !== null; step = passes.next(at(server))) {
    steps.push(step)
    serve(passes, step, server)
  }
  return steps
}

const windows = (steps: readonly Step[]): string[] => steps.map(({ window }) => writeWindow(window))
const broken = { isPieceAtFault: true, isTooMuch: true, reason: 'the API answers 500' }

describe('cutting windows', () => {
  it('leaves a last piece under 30 s, and takes one of exactly 30 s', () => {
    expect(cutWindow(START, START + 29 * SECOND_MS, LONGEST_WINDOW_MS)).toBeNull()
    expect(cutWindow(START, START + 30 * SECOND_MS, LONGEST_WINDOW_MS)).toEqual({ from: START, to: START + 30 * SECOND_MS })
  })

  it('covers any stretch of time without a rest, each window within the bounds of the API', () => {
    fc.assert(
      fc.property(fc.integer({ min: 30, max: 20_000 }), fc.integer({ min: 30, max: 3_600 }), (seconds, longest) => {
        const limit = START + seconds * SECOND_MS
        let from = START
        while (from < limit) {
          const window = cutWindow(from, limit, longest * SECOND_MS)
          expect(window).not.toBeNull()
          if (window === null) return
          const length = window.to - window.from
          expect(length).toBeGreaterThanOrEqual(SHORTEST_WINDOW_MS)
          expect(length).toBeLessThanOrEqual(Math.max(longest * SECOND_MS, 2 * SHORTEST_WINDOW_MS))
          expect(length).toBeLessThanOrEqual(LONGEST_WINDOW_MS)
          from = window.to
        }
        expect(from).toBe(limit)
      }),
      { seed: 1 },
    )
  })

  it('halves down to 30 s and doubles after ten good windows', () => {
    const length = new WindowLength()
    for (let failures = 0; failures < 10; failures += 1) length.halve({ from: START, to: START + length.value })
    expect(length.value).toBe(SHORTEST_WINDOW_MS)
    for (let good = 0; good < 9; good += 1) length.good()
    expect(length.value).toBe(SHORTEST_WINDOW_MS)
    length.good()
    expect(length.value).toBe(2 * SHORTEST_WINDOW_MS)
    for (let good = 0; good < 200; good += 1) length.good()
    expect(length.value).toBe(LONGEST_WINDOW_MS)
  })
})

describe('the mark', () => {
  it('follows the window where that is older than the look-back, else the look-back', () => {
    const now = START + 3 * HOUR_MS
    const passes = planner(START)
    passes.begin(at(now))
    const marks = []
    for (let step = passes.next(at(now)); step !== null; step = passes.next(at(now))) {
      serve(passes, step, now)
      marks.push(passes.settled)
    }
    expect(marks).toEqual([START + HOUR_MS, START + 2 * HOUR_MS, now - 45 * MINUTE_MS])
  })

  it('stays for the rest of the pass once a window ended where events may still appear', () => {
    const now = START + HOUR_MS
    const passes = planner(START)
    passes.begin(at(now))
    const first = passes.next(at(now))
    expect(first).not.toBeNull()
    if (first === null) return
    passes.failed(first, { ...broken, now: at(now) })
    const half = passes.next(at(now))
    if (half === null) throw new Error('no step')
    serve(passes, half, now)
    const settled = passes.settled
    expect(settled).toBe(now - 45 * MINUTE_MS)
    // Its second half is read half an hour later; what appeared late in the first half is still to be read, so the mark must stay.
    const later = now + 30 * MINUTE_MS
    const rest = passes.next(at(later))
    if (rest === null) throw new Error('no step')
    serve(passes, rest, later)
    expect(passes.settled).toBe(settled)
  })

  it('is not moved by a light pass', () => {
    const passes = planner(START)
    runPass(passes, START + HOUR_MS)
    const settled = passes.settled
    const light = runPass(passes, START + HOUR_MS + 5 * MINUTE_MS)
    expect(windows(light)).toEqual(['2026-11-20T00:57:30Z/2026-11-20T01:04:30Z'])
    expect(passes.settled).toBe(settled)
  })

  it('takes a truncated answer only up to its queryEndTime, and ends the pass there', () => {
    const now = START + HOUR_MS
    const passes = planner(START, { lookBackMs: 0 })
    passes.begin(at(now))
    const step = passes.next(at(now))
    if (step === null) throw new Error('no step')
    serve(passes, step, now, START + 20 * MINUTE_MS)
    expect(passes.settled).toBe(START + 20 * MINUTE_MS)
    expect(passes.next(at(now))).toBeNull()
    expect(windows(runPass(passes, now + 20 * MINUTE_MS))[0]).toMatch(/^2026-11-20T00:20:00Z/)
  })

  it('never moves back', () => {
    const passes = planner(START + HOUR_MS, { lookBackMs: 59 * MINUTE_MS })
    runPass(passes, START + HOUR_MS + 10 * MINUTE_MS)
    expect(passes.settled).toBe(START + HOUR_MS)
  })
})

describe('passes', () => {
  it('reads each hour once while it catches up', () => {
    const now = START + 7 * 24 * HOUR_MS - MINUTE_MS
    const steps = runPass(planner(START), now)
    expect(steps).toHaveLength(168)
    const ends = steps.map(({ window }) => window.to)
    expect(steps.map(({ window }) => window.from)).toEqual([START, ...ends.slice(0, -1)])
  })

  it('lives on one request a pass, two of three passes light', () => {
    const passes = planner(START)
    let now = START + HOUR_MS
    runPass(passes, now)
    const lengths = []
    for (let pass = 0; pass < 12; pass += 1) {
      now += 5 * MINUTE_MS
      const steps = runPass(passes, now)
      expect(steps).toHaveLength(1)
      lengths.push(...steps.map(({ window }) => (window.to - window.from) / MINUTE_MS))
    }
    expect(lengths).toEqual([7, 7, 59.5, 7, 7, 59.5, 7, 7, 59.5, 7, 7, 59.5])
  })

  it('is full at every pass where the sweep period is 0', () => {
    const passes = planner(START, { sweepPeriodMs: 0 })
    runPass(passes, START + HOUR_MS)
    expect(windows(runPass(passes, START + HOUR_MS + 5 * MINUTE_MS))).toEqual(['2026-11-20T00:15:00Z/2026-11-20T01:04:30Z'])
  })

  it('waits for a start that lies in the future', () => {
    const passes = planner(START + HOUR_MS)
    expect(runPass(passes, START)).toEqual([])
    expect(runPass(passes, START + HOUR_MS + 59 * SECOND_MS)).toEqual([])
    expect(windows(runPass(passes, START + HOUR_MS + 60 * SECOND_MS))).toEqual(['2026-11-20T01:00:00Z/2026-11-20T01:00:30Z'])
  })

  it('goes on after the clock has become known, and ends at the live edge', () => {
    const passes = planner(START)
    const guessed = START + 10 * MINUTE_MS
    passes.begin(at(guessed, false))
    const first = passes.next(at(guessed, false))
    if (first === null) throw new Error('no step')
    serve(passes, first, guessed)
    const second = passes.next(at(guessed + 5 * MINUTE_MS))
    expect(second?.window.from).toBe(first.window.to)
    if (second === null) return
    serve(passes, second, guessed + 5 * MINUTE_MS)
    expect(passes.next(at(guessed + 10 * MINUTE_MS))).toBeNull()
  })

  it('keeps away from the live edge while the API calls windows still current', () => {
    const passes = planner(START)
    const now = at(START + 10 * MINUTE_MS)
    passes.begin(now)
    passes.retreat()
    expect(passes.next(now)?.window.to).toBe(START + 9 * MINUTE_MS)
  })

  it('asks for what lies before the horizon, and gives it up only when the API says so, up to ten minutes inside', () => {
    const now = at(START + 8 * 24 * HOUR_MS)
    const passes = planner(START)
    passes.begin(now)
    const step = passes.next(now)
    expect(step).toMatchObject({ kind: 'read', window: { from: START, to: START + HOUR_MS } })
    if (step === null) return
    const gap = passes.lossAt(step, now)
    expect(gap).toEqual({ kind: 'gap', window: { from: START, to: now.server - 7 * 24 * HOUR_MS + 10 * MINUTE_MS } })
    passes.lost(gap, now)
    expect(passes.settled).toBe(gap.window.to)
    expect(passes.next(now)).toMatchObject({ kind: 'read', window: { from: gap.window.to } })
  })

  it.each([
    ['the API’s clock', { server: START + 30 * 24 * HOUR_MS, local: START + 8 * 24 * HOUR_MS }, 24 * HOUR_MS + 10 * MINUTE_MS],
    ['the local clock', { server: START + 8 * 24 * HOUR_MS, local: START + 30 * 24 * HOUR_MS }, 24 * HOUR_MS + 10 * MINUTE_MS],
    ['both clocks, one of them far behind', { server: START + 8 * 24 * HOUR_MS, local: 0 }, 10 * MINUTE_MS],
  ])('does not trust %s alone with a gap', (_name, clocks, lost) => {
    const now = { ...at(clocks.server), ...clocks }
    const passes = planner(START)
    passes.begin(now)
    const step = passes.next(now)
    if (step === null) throw new Error('no step')
    expect(passes.lossAt(step, now).window).toEqual({ from: START, to: START + lost })
  })

  it('give up a failing piece as well where the API no longer keeps what lies behind it', () => {
    const passes = planner(START, { lookBackMs: 0 })
    let server = START + 30 * MINUTE_MS
    passes.begin(at(server))
    let step = passes.next(at(server))
    while (step !== null && step.kind !== 'probe') {
      passes.failed(step, { ...broken, now: at(server) })
      server += 5 * MINUTE_MS
      step = passes.next(at(server))
    }
    if (step === null) throw new Error('no probe')
    expect(step.window.from).toBeGreaterThan(START)
    expect(passes.lossAt(step, at(server)).window.from).toBe(START)
  })

  it('begin again, full, when the time becomes known in the middle of one', () => {
    const passes = planner(START, { lookBackMs: 0 })
    const now = START + 3 * HOUR_MS
    passes.begin(at(now, false))
    const first = passes.next(at(now, false))
    if (first === null) throw new Error('no step')
    passes.served(first, { servedTo: first.window.to, requestedAt: -Infinity, isTooMuch: false, now: at(now, false) })
    expect(passes.settled).toBe(START)
    passes.timeIsKnown(at(now))
    const again = passes.next(at(now))
    expect(again?.window).toEqual(first.window)
    if (again !== null) serve(passes, again, now)
    passes.timeIsKnown(at(now))
    expect(passes.next(at(now))?.window.from).toBe(START + HOUR_MS)
    expect(passes.settled).toBe(START + HOUR_MS)
  })
})

describe('holes', () => {
  const BAD = { from: START + 10 * MINUTE_MS, to: START + 14 * MINUTE_MS }
  const isBad = ({ window }: Step): boolean => window.from < BAD.to && window.to > BAD.from

  /** An API that cannot serve [BAD) until `healedAt`; a try every 5 minutes of failing, a pass every 5 minutes. */
  function live(passes: Passes, { until, healedAt = Infinity }: { until: number; healedAt?: number }): { step: Step; server: number; served: boolean }[] {
    const log: { step: Step; server: number; served: boolean }[] = []
    let server = START + 30 * MINUTE_MS
    passes.begin(at(server))
    while (server < until) {
      const now = at(server)
      const step = passes.next(now)
      if (step === null) {
        server += 5 * MINUTE_MS
        passes.begin(at(server))
        continue
      }
      const served = server >= healedAt || !isBad(step)
      log.push({ step, server, served })
      if (served) serve(passes, step, server)
      else if (!passes.failed(step, { ...broken, now })) server += 5 * MINUTE_MS
    }
    return log
  }

  it('come after an hour of failing, once the API has served a piece behind', () => {
    const passes = planner(START, { lookBackMs: 0 })
    const log = live(passes, { until: START + 3 * HOUR_MS })
    const firstFailure = log.find(({ step, served }) => !served && step.window.to - step.window.from <= 60 * SECOND_MS)
    const firstProbe = log.find(({ step }) => step.kind === 'probe')
    const declared = log.find(({ step, served }) => step.kind === 'probe' && served)
    expect(firstProbe?.server).toBeGreaterThanOrEqual(START + 30 * MINUTE_MS + HOUR_MS)
    expect(firstFailure?.server).toBeLessThan(firstProbe?.server ?? 0)
    expect(declared).toBeDefined()
    const covered = passes.holes.reduce((sum, { from, to }) => sum + Math.max(0, Math.min(to, BAD.to) - Math.max(from, BAD.from)), 0)
    expect(covered).toBe(BAD.to - BAD.from)
    expect(passes.settled).toBeGreaterThan(BAD.to)
    expect(passes.furthest).toBeGreaterThan(START + 2 * HOUR_MS)
  })

  it('are tried again every hour, shrink to what really is bad, and close when served', () => {
    const passes = planner(START, { lookBackMs: 0 })
    const log = live(passes, { until: START + 40 * HOUR_MS, healedAt: START + 30 * HOUR_MS })
    const tries = log.filter(({ step, server }) => step.kind === 'hole' && server > START + 10 * HOUR_MS && server < START + 30 * HOUR_MS)
    expect(tries.length).toBeGreaterThan(19)
    const perHour = tries.length / 20
    expect(perHour).toBeLessThanOrEqual(12)
    for (const { step } of tries) expect(step.window.to - step.window.from).toBeLessThan(2 * 60 * SECOND_MS)
    expect(passes.holes).toEqual([])
  })

  it('are not declared while the API serves nothing at all', () => {
    const passes = planner(START, { lookBackMs: 0 })
    let server = START + 30 * MINUTE_MS
    let requests = 0
    passes.begin(at(server))
    while (server < START + 20 * HOUR_MS) {
      const step = passes.next(at(server))
      if (step === null) throw new Error('the pass ended')
      requests += 1
      if (!passes.failed(step, { ...broken, now: at(server) })) server += 5 * MINUTE_MS
    }
    expect(passes.holes).toEqual([])
    expect(passes.settled).toBe(START)
    expect(requests).toBeLessThan(20 * 30)
  })

  it('older than the horizon are tried like others, and are gaps when the API no longer keeps them', () => {
    const hole = { from: START, to: START + 60 * SECOND_MS, since: START, triedAt: START, reason: 'x' }
    const now = at(START + 8 * 24 * HOUR_MS)
    const passes = new Passes(RULES, { settled: now.server - HOUR_MS, holes: [hole] })
    passes.begin(now)
    const step = passes.next(now)
    expect(step).toMatchObject({ kind: 'hole', window: { from: hole.from, to: hole.to } })
    if (step === null) return
    const loss = passes.lossAt(step, now)
    expect(loss).toEqual({ kind: 'hole-lost', window: { from: hole.from, to: hole.to } })
    passes.lost(loss, now)
    expect(passes.holes).toEqual([])
    expect(passes.settled).toBe(now.server - HOUR_MS)
  })

  it('are lost only up to the horizon', () => {
    const hole = { from: START, to: START + 2 * HOUR_MS, since: START, triedAt: START, reason: 'x' }
    const now = at(START + 7 * 24 * HOUR_MS + 5 * MINUTE_MS)
    const passes = new Passes(RULES, { settled: now.server - HOUR_MS, holes: [hole] })
    passes.begin(now)
    const step = passes.next(now)
    if (step === null) throw new Error('no step')
    passes.lost(passes.lossAt(step, now), now)
    expect(passes.holes).toMatchObject([{ from: START + 15 * MINUTE_MS, to: hole.to }])
  })

  it('keep the fingerprints around them', () => {
    const hole = { from: START, to: START + 60 * SECOND_MS, since: START, triedAt: START, reason: 'x' }
    const passes = new Passes(RULES, { settled: START + 10 * HOUR_MS, holes: [hole] })
    const before = { from: START - HOUR_MS, to: START }
    const inside = { from: START - 30 * MINUTE_MS, to: START + 30 * MINUTE_MS }
    const far = { from: START + HOUR_MS, to: START + 2 * HOUR_MS }
    const fresh = { from: START + 9 * HOUR_MS, to: START + 10 * HOUR_MS - 60 * SECOND_MS }
    const none = { from: 0, to: 0 }
    expect(passes.forgettable([before, inside, far, fresh], none)).toEqual([far])
    expect(passes.forgettable([before, inside, far, fresh], far)).toEqual([])
  })

  it('never make a window shorter or longer than the API takes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ from: fc.integer({ min: 0, max: 400 }), length: fc.integer({ min: 1, max: 12 }) }), { maxLength: 4 }),
        fc.integer({ min: 0, max: 300 }),
        fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }),
        (raw, settled, outcomes) => {
          // Holes as they come about: apart from each other by at least one window, or adjacent.
          let end = 0
          const holes = raw.sort((a, b) => a.from - b.from).flatMap(({ from, length }) => {
            const start = Math.max(from, end)
            const begins = start - end < 3 ? end : start
            end = begins + Math.max(3, length)
            return [{ from: START + begins * 10_000, to: START + end * 10_000, since: START, triedAt: START, reason: 'x' }]
          })
          const passes = new Passes({ ...RULES, lookBackMs: 0 }, { settled: START + settled * 10_000, holes })
          let server = START + 2 * HOUR_MS
          passes.begin(at(server))
          for (const isServed of outcomes) {
            server += 7 * MINUTE_MS
            const step = passes.next(at(server))
            if (step === null) {
              passes.begin(at(server))
              continue
            }
            expect(step.window.to - step.window.from).toBeGreaterThanOrEqual(SHORTEST_WINDOW_MS)
            expect(step.window.to - step.window.from).toBeLessThanOrEqual(LONGEST_WINDOW_MS)
            expect(step.window.to).toBeLessThanOrEqual(server - 30 * SECOND_MS)
            if (isServed) serve(passes, step, server)
            else passes.failed(step, { ...broken, now: at(server) })
          }
        },
      ),
      { seed: 1, numRuns: 300 },
    )
  })
})
