import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkStartTimes, formatProblems } from '../../src/config/load.ts'
import { parseTime } from '../../src/config/start-time.ts'
import { NOW, outcomeOfText } from './setup.ts'

const DAY_MS = 86_400_000

describe('a start time', () => {
  it.each([
    ['2023-01-01T00:00:00Z', '2023-01-01T00:00:00Z'],
    ['2023-01-01T00:00:00', '2023-01-01T00:00:00Z'],
    ['2023-01-01 00:00:00', '2023-01-01T00:00:00Z'],
    ['2023-01-01', '2023-01-01T00:00:00Z'],
    ['2023-01-01T05:06', '2023-01-01T05:06:00Z'],
    ['2023-1-2t3:04:05.678z', '2023-01-02T03:04:05.678Z'],
    ['2023-01-01T00:00:00.1234567Z', '2023-01-01T00:00:00.123Z'],
    ['2023-01-01T00:00:00+02:00', '2022-12-31T22:00:00Z'],
    ['2023-01-01 00:00:00 -5', '2023-01-01T05:00:00Z'],
    ['2023-01-01T00:00:00-0530', '2023-01-01T05:30:00Z'],
    [' 2023-01-01T00:00:00UTC ', '2023-01-01T00:00:00Z'],
    ['2024-02-29', '2024-02-29T00:00:00Z'],
  ])('%s is %s', (text, expected) => {
    expect(parseTime(text)).toBe(Date.parse(expected))
  })

  it.each([
    '',
    'now',
    '2023',
    '2023-02-29',
    '2023-13-01',
    '2023-00-01',
    '2023-01-00',
    '2023-01-01T24:00:00',
    '2023-01-01T00:60:00',
    '2023-01-01T00:00:60Z',
    '01/02/2023',
    '2023-01-01T00:00:00X',
    '2023-01-01T00:00:00+15:00',
    '0001-01-01',
    '1672531200',
    '2023-01-01T00:00:00Z junk',
  ])('%j is none', (text) => {
    expect(parseTime(text)).toBeNull()
  })

  it('is the instant that ISO 8601 says, for every instant', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date('2999-12-31'), noInvalidDate: true }), (date) => {
        expect(parseTime(date.toISOString())).toBe(date.getTime())
      }),
    )
  })
})

describe('the rule of seven days', () => {
  async function configWith(start: string) {
    const { loaded } = await outcomeOfText(`
outputs: {console_1: {type: console}}
inputs:
  tap_1:
    type: proofpoint_tap
    id: 12345
    credentials: {username: u, password: p}
    services: {clicksBlocked: {start_time_in_utc_format: ${start}}, clicksPermitted: {}}
`)
    if (loaded === null) throw new Error('does not load')
    return loaded.config
  }
  const isoAt = (time: number) => new Date(time).toISOString()

  it('is an error on a first start, with the path, the value and what is expected', async () => {
    const problems = checkStartTimes(await configWith(isoAt(NOW - 7 * DAY_MS - 1000)), () => false, NOW)
    expect(formatProblems(problems)).toBe(
      'error inputs.tap_1.services.clicksBlocked.start_time_in_utc_format: must be at most 7 days back on a first start (not before 2026-11-17T12:00:00Z), because the API has no older events; leave it out to begin now, but found 2026-11-17T11:59:59Z',
    )
  })

  it('lets exactly seven days, the future and no start time pass', async () => {
    expect(checkStartTimes(await configWith(isoAt(NOW - 7 * DAY_MS)), () => false, NOW)).toEqual([])
    expect(checkStartTimes(await configWith(isoAt(NOW + 365 * DAY_MS)), () => false, NOW)).toEqual([])
    expect(checkStartTimes(await configWith('~'), () => false, NOW)).toEqual([])
  })

  it('does not hold for a state that began with this start time, and holds for a changed one', async () => {
    const config = await configWith('2026-01-01T00:00:00Z')
    const asked: unknown[] = []
    const state = (startTime: number) => (inputId: string, service: string, wanted: number) => {
      asked.push([inputId, service, wanted])
      return wanted === startTime
    }
    expect(checkStartTimes(config, state(Date.parse('2026-01-01T00:00:00Z')), NOW)).toEqual([])
    expect(asked).toEqual([['12345', 'clicksBlocked', Date.parse('2026-01-01T00:00:00Z')]])
    expect(checkStartTimes(config, state(Date.parse('2025-01-01T00:00:00Z')), NOW)).toHaveLength(1)
  })
})
