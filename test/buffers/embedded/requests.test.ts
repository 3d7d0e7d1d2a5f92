import { expect, test } from 'vitest'
import { openQuotaLogBeside } from '../../../src/buffers/embedded/beside.ts'
import type { QuotaLog } from '../../../src/pipeline/source.ts'
import { openFor, temporaryFolder } from './fixtures.ts'

const NOW = 1_000
const LIMITS = [{ since: NOW - 10, requests: 25 }, { since: NOW - 100, requests: 40 }]

const counted = (minutes: readonly (readonly [number, number])[]): number => minutes.reduce((sum, [, requests]) => sum + requests, 0)

test('two processes that count in the same milliseconds keep the limit, to the request', async () => {
  const dir = temporaryFolder()
  const holder = await openFor(dir)
  const beside = openQuotaLogBeside(dir)
  for (let request = 0; request < 12; request += 1) await holder.count('pool', NOW - 50, 0)
  const both = (count: number): Promise<boolean[]> =>
    Promise.all(Array.from({ length: count }, (_, index) => (index % 2 === 0 ? holder : beside).count('pool', NOW, 0, LIMITS)))
  expect((await both(40)).filter(Boolean)).toHaveLength(25)
  expect(counted(await beside.load('pool'))).toBe(37)
  const later = (log: QuotaLog): Promise<boolean> => log.count('pool', NOW + 11, 0, LIMITS.map(({ since, requests }) => ({ since: since + 11, requests })))
  expect([await later(holder), await later(beside), await later(holder), await later(beside)]).toEqual([true, true, true, false])
  await beside.close()
})

test('what was counted by a clock that was far ahead does not block for as long as it was wrong', async () => {
  const log = await openFor(temporaryFolder())
  for (let request = 0; request < 30; request += 1) await log.count('pool', NOW + 500_000, 0)
  expect(await log.count('pool', NOW, 0, LIMITS)).toBe(true)
  expect(await log.count('other', NOW, 0, [{ since: 0, requests: 1 }])).toBe(true)
  expect(await log.count('other', NOW, 0, [{ since: 0, requests: 1 }])).toBe(false)
})
