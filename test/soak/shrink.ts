import type { Fault, Plan } from './plan.ts'
import { runPlan, type Outcome } from './world.ts'

/** As few faults as still lead to a violation of the same kind; dropped in halves, then one by one, within so many runs. */
export async function shrink(failed: Outcome, mostRuns: number): Promise<Outcome> {
  const kind = failed.violations[0]?.kind
  let best = failed
  let left = mostRuns
  for (let size = Math.ceil(best.plan.faults.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.plan.faults.length && left > 0; ) {
      left -= 1
      const outcome = await runPlan(without(best.plan, best.plan.faults.slice(at, at + size)))
      if (outcome.violations.some((violation) => violation.kind === kind)) best = outcome
      else at += size
    }
  }
  return best
}

function without(plan: Plan, dropped: readonly Fault[]): Plan {
  return { ...plan, faults: plan.faults.filter((fault) => !dropped.includes(fault)) }
}
