/**
 * `npm run soak -- [--seed 1] [--days 3] [--runs 1] [--intensity 1] [--shrink 60] [--bail]`: the collector through simulated days of trouble, a
 * seed a run. Prints the figures; where something is violated, the fewest faults that lead there (found in so many runs) and what then happens.
 * Exit 1 where anything was; `--bail` ends with the first.
 */
import { parseArgs } from 'node:util'
import { HOUR_MS } from '../../src/simulator/tap-api.ts'
import { describeFault, makePlan } from './plan.ts'
import { shrink } from './shrink.ts'
import { runPlan, type Outcome } from './world.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    days: { type: 'string', default: '3' },
    runs: { type: 'string', default: '1' },
    intensity: { type: 'string', default: '1' },
    shrink: { type: 'string', default: '60' },
    bail: { type: 'boolean', default: false },
  },
})
const [first, days, runs, intensity, mostRuns] = [values.seed, values.days, values.runs, values.intensity, values.shrink].map(Number)
if (first === undefined || !days || !runs || intensity === undefined || mostRuns === undefined) throw new Error('a number is expected behind each option')

const WIDTHS = { seed: 7, events: 7, requests: 9, doubles: 8, faults: 7, starts: 7, kills: 6, repairs: 8, gaps: 5, holes: 6, connections: 12, steps: 8, seconds: 8, 'heap MB': 8 }
let failures = 0
console.log(Object.entries(WIDTHS).map(([name, width]) => name.padStart(width)).join(''))
for (let run = 0; run < runs; run += 1) {
  const seed = first + run
  const began = performance.now()
  const outcome = await runPlan(makePlan({ seed, days, intensity }), globalThis.gc === undefined ? {} : { heapMb })
  const heap = heapMb()
  const { plan, violations, digest, events, requests, doubles, starts, kills, repairs, gaps, holes, connections, steps } = outcome
  const figures = { events, requests, doubles, starts, kills, repairs, gaps, holes, connections, steps }
  const row: Record<string, number | string> = { ...figures, seed, faults: plan.faults.length, seconds: ((performance.now() - began) / 1_000).toFixed(1), 'heap MB': heap.toFixed(0) }
  console.log(Object.entries(WIDTHS).map(([name, width]) => String(row[name] ?? '').padStart(width)).join(''), digest.slice(0, 8))
  if (violations.length === 0) continue
  failures += 1
  await explain(outcome)
  if (values.bail) break
}
console.log(failures === 0 ? `${runs} runs, nothing violated` : `${failures} of ${runs} runs with violations`)
process.exitCode = failures === 0 ? 0 : 1

async function explain(failed: Outcome): Promise<void> {
  const kinds = new Map<string, number>()
  for (const { kind } of failed.violations) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  console.log(`seed ${failed.plan.seed}: ${[...kinds].map(([kind, times]) => `${kind} (${times})`).join(', ')}`)
  const shortest = mostRuns === 0 ? failed : await shrink(failed, mostRuns ?? 0)
  const { faults, ...rest } = shortest.plan
  console.log(`  plan: ${JSON.stringify(rest)}`)
  console.log(`  with ${faults.length} of ${failed.plan.faults.length} faults:`)
  for (const fault of faults) console.log(`    ${describeFault(fault)}`)
  for (const { kind, text } of shortest.violations.slice(0, 5)) console.log(`  ${kind}: ${text}`)
  if (mostRuns === 0) return
  for (const line of await story(shortest)) console.log(`    ${line.slice(0, 240)}`)
}

/** What happened in the hours of the event that the first violation is about, or last of all. */
async function story({ plan, violations, trace }: Outcome): Promise<readonly string[]> {
  const createdAt = violations[0]?.createdAt ?? null
  if (createdAt === null) return trace.slice(-60)
  const hours = [0, 1, 2].map((hour) => new Date(createdAt + hour * HOUR_MS).toISOString().slice(0, 13))
  const focus = new RegExp(`^(${hours.join('|')})(?!.* (timer|room|piece|load requests|count|count: done|wait)$)`)
  return (await runPlan(plan, { focus })).trace
}

/** `global.gc` where Node was started with --expose-gc: without it the figure says little. */
function heapMb(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}
