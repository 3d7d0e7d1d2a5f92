import { expect, test } from 'vitest'
import { startChild } from './child.ts'
import { MIB, temporaryFolder } from './fixtures.ts'

test('100 MB carried through do not stay in memory', async () => {
  const child = await startChild('memory', temporaryFolder())
  const line = await child.lines.next()
  // child-main.ts says exactly this.
  const { events, first, peak } = JSON.parse(String(line.value)) as { events: number; first: number; peak: number }
  expect(events).toBe(47_500)
  expect(peak - first).toBeLessThan(20 * MIB)
})
