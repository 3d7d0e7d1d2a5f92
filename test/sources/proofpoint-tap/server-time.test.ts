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
    time.observe(dated(START + 3 * 60 * MINUTE))
    expect(time.now()).toBe(START + 3 * 60 * MINUTE)
    clock.skewWall(-24 * 60 * MINUTE)
    await clock.advance(10 * MINUTE)
    expect(time.now()).toBe(START + (3 * 60 + 10) * MINUTE)
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

  it('backward counts at once, and for good after three answers', () => {
    const earlier = START - 10 * MINUTE
    time.observe(dated(earlier))
    expect(time.now()).toBe(earlier)
    time.observe(dated(START))
    expect(time.now()).toBe(START)
    for (let answer = 0; answer < 3; answer += 1) time.observe(dated(earlier))
    expect(time.now()).toBe(earlier)
  })

  it('of less than a minute is no jump', () => {
    time.observe(dated(START + 59_000))
    expect(time.now()).toBe(START + 59_000)
  })
})
