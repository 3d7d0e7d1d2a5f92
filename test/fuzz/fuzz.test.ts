import { describe, expect, test } from 'vitest'
import { fuzzTargets } from './targets.ts'
import { runTarget } from './target.ts'

const SEED = 20_261

describe('hostile input is an error that says what is wrong, or a dead letter, and never more', () => {
  test.each(fuzzTargets.map((fuzzed) => [fuzzed.name, fuzzed] as const))('%s', { timeout: 60_000 }, async (_, fuzzed) => {
    const { failure, cases } = await runTarget(fuzzed, { seed: SEED, runs: fuzzed.runs })
    expect(failure).toBeNull()
    expect(cases).toBe(fuzzed.runs)
  })
})
