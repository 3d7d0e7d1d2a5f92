import { describe, expect, it } from 'vitest'
import { makePlan } from './plan.ts'
import { runPlan } from './world.ts'

/** Nothing here waits for real time: how long it takes is the machine's. */
describe('simulated days of trouble', { timeout: 120_000 }, () => {
  it.each([2, 13, 21])('bring every event to Devo, seed %i', async (seed) => {
    const { violations, events } = await runPlan(makePlan({ seed, days: 1 }))
    expect(violations).toEqual([])
    expect(events).toBeGreaterThan(20)
  })

  it('are the same again from the same seed', async () => {
    const [first, second] = [await runPlan(makePlan({ seed: 14, days: 1 })), await runPlan(makePlan({ seed: 14, days: 1 }))]
    expect(first.digest).toBe(second.digest)
    expect(first.digest).not.toBe((await runPlan(makePlan({ seed: 12, days: 1 }))).digest)
  })
})
