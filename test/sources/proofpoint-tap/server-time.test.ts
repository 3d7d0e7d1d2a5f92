import { beforeEach, describe, expect, it } from 'vitest'
import { ServerTime } from '../../../src/sources/proofpoint-tap/server-time.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'

const START = Date.parse('2026-11-20T00:00:00Z')
const MINUTE = 60_000
const dated = (epochMs: number): { date: string } => ({ date: new Date(epochMs).toUTCString() })

let clock: VirtualClock
let time: ServerTime
beforeEach(() => {
  clock = new VirtualClock(START)
  time = new ServerTime(clock)
})

describe('before the first answer', () => {
  it('is the local clock minus five minutes, and final for nothing', () => {
    expect(time.now()).toBe(START - 5 * MINUTE)
    expect(time.isKnown).toBe(false)
    expect(time.whenSent(clock.monotonic())).toBe(-Infinity)
  })

  it('makes do with the local clock where no answer ever tells the time', () => {
    for (let answer = 0; answer < 10; answer += 1) time.observe({})
    expect(time.whenSent(clock.monotonic())).toBe(START - 5 * MINUTE)
  })
})

describe('the Date header', () => {
  it('counts from the first answer on, by the monotonic clock, whatever the local one does', async () => {
    time.observe(dated(START + 10 * MINUTE))
    expect(time.now()).toBe(START + 10 * MINUTE)
    clock.skewWall(-24 * 60 * MINUTE)
    await clock.advance(10 * MINUTE)
    expect(time.now()).toBe(START + 20 * MINUTE)
  })

  it.each([[10 * 24 * 60], [-10 * 24 * 60], [11]])('that is %i minutes off the local clock counts after three answers that agree', async (minutes) => {
    const told = START + minutes * MINUTE
    time.observe(dated(told))
    await clock.advance(5 * MINUTE)
    time.observe(dated(told + 5 * MINUTE))
    expect(time.isKnown).toBe(false)
    expect(time.isDoubtful).toBe(true)
    expect(time.whenSent(clock.monotonic())).toBe(-Infinity)
    expect(time.now()).toBe(Math.min(START, told + 5 * MINUTE))
    expect(time.believed()).toBe(START)
    expect(time.guess()).toBe(told + 5 * MINUTE)
    time.observe(dated(told + 5 * MINUTE))
    expect(time.isKnown).toBe(true)
    expect(time.isDoubtful).toBe(false)
    expect(time.now()).toBe(told + 5 * MINUTE)
  })

  it('that is far off counts for nothing once an answer is near the local clock', () => {
    time.observe(dated(START + 10 * 24 * 60 * MINUTE))
    time.observe(dated(START + 10 * 24 * 60 * MINUTE))
    time.observe(dated(START + MINUTE))
    expect(time.now()).toBe(START + MINUTE)
    expect(time.isDoubtful).toBe(false)
  })

  it('of an answer that may be a proxy’s never makes a jump', () => {
    for (let answer = 0; answer < 9; answer += 1) time.observe(dated(0), false)
    expect(time.isKnown).toBe(false)
    expect(time.isDoubtful).toBe(false)
    time.observe(dated(START + MINUTE), false)
    expect(time.now()).toBe(START + MINUTE)
    for (let answer = 0; answer < 9; answer += 1) time.observe(dated(0), false)
    expect(time.now()).toBe(START + MINUTE)
  })

  it('dates the request back by the time that its answer took', async () => {
    const sentAt = clock.monotonic()
    await clock.advance(4_000)
    time.observe(dated(START + 4_000))
    await clock.advance(9_000)
    expect(time.whenSent(sentAt)).toBe(START)
  })

  it('of a cached answer (Age) counts for nothing, as one that cannot be read', () => {
    time.observe({ ...dated(START + 60 * MINUTE), age: '0' })
    time.observe({ date: 'yesterday' })
    expect(time.isKnown).toBe(false)
  })
})

describe('a jump', () => {
  beforeEach(() => time.observe(dated(START)))

  it('forward of more than a minute is believed after three answers that agree', () => {
    const later = START + 5 * MINUTE
    time.observe(dated(later))
    time.observe(dated(later))
    expect(time.now()).toBe(START)
    time.observe(dated(later))
    expect(time.now()).toBe(later)
  })

  it('forward is not believed where the answers disagree, or the old time comes between them', () => {
    const later = START + 5 * MINUTE
    for (let round = 0; round < 3; round += 1) {
      time.observe(dated(later))
      time.observe(dated(later))
      time.observe(dated(START))
    }
    for (const minutes of [5, 10, 15, 20, 25, 30]) time.observe(dated(START + minutes * MINUTE))
    expect(time.now()).toBe(START)
  })

  it('backward counts at once as a doubt, which one answer clears, and for good after three', () => {
    const earlier = START - 10 * MINUTE
    time.observe(dated(earlier))
    expect(time.now()).toBe(earlier)
    expect(time.isDoubtful).toBe(true)
    expect(time.believed()).toBe(START)
    time.observe(dated(START))
    expect(time.now()).toBe(START)
    expect(time.isDoubtful).toBe(false)
    for (let answer = 0; answer < 3; answer += 1) time.observe(dated(earlier))
    expect(time.believed()).toBe(earlier)
    expect(time.isDoubtful).toBe(false)
  })

  it('that no later answer says anything about is forgotten', () => {
    time.observe(dated(0))
    for (let answer = 0; answer < 10; answer += 1) time.observe({})
    expect(time.isDoubtful).toBe(false)
    expect(time.now()).toBe(START)
  })

  it('of less than a minute is no jump', () => {
    time.observe(dated(START + 59_000))
    expect(time.now()).toBe(START + 59_000)
  })
})
