/**
 * `npm run soak -- [--seed 1] [--days 3] [--runs 1] [--jobs 1] [--intensity 1] [--shrink 60] [--bail]`: the collector through simulated days of
 * trouble, a seed a run. Prints the figures; where something is violated, the fewest faults that lead there (found in so many runs) and what then
 * happens. Exit 1 where anything was; `--bail` ends with the first. Of several runs each has a process of its own, `--jobs` of them at once.
 */
import { execFile } from 'node:child_process'
import { parseArgs, promisify } from 'node:util'
import PQueue from 'p-queue'
import { HOUR_MS } from '../../src/simulator/tap-api.ts'
import { describeFault, makePlan } from './plan.ts'
import { shrink } from './shrink.ts'
import { runPlan, type Outcome } from './world.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    days: { type: 'string', default: '3' },
    runs: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
    intensity: { type: 'string', default: '1' },
    shrink: { type: 'string', default: '60' },
    bail: { type: 'boolean', default: false },
  },
})
const { seed: first, days, runs, jobs, intensity, shrink: mostRuns } = {
  seed: numberOf('seed'), days: numberOf('days'), runs: numberOf('runs'), jobs: numberOf('jobs'), intensity: numberOf('intensity'), shrink: numberOf('shrink'),
}
const WIDTHS = { seed: 7, events: 7, requests: 9, doubles: 8, faults: 7, starts: 7, kills: 6, repairs: 8, gaps: 5, holes: 6, connections: 12, steps: 8, seconds: 8, 'heap MB': 8 }
console.log(Object.entries(WIDTHS).map(([name, width]) => name.padStart(width)).join(''))
const failures = runs === 1 ? await run() : await runAll()
console.log(failures === 0 ? `${runs} runs, nothing violated` : `${failures} of ${runs} runs with violations`)
process.exitCode = failures === 0 ? 0 : 1

function numberOf(option: Exclude<keyof typeof values, 'bail'>): number {
  const number = Number(values[option])
  if (!(number >= (option === 'runs' || option === 'jobs' ? 1 : 0))) throw new Error(`--${option} wants a number, not ${values[option]}`)
  return number
}

/** 1 where anything is violated. */
async function run(): Promise<number> {
  const began = performance.now()
  const outcome = await runPlan(makePlan({ seed: first, days, intensity }), globalThis.gc === undefined ? {} : { heapMb })
  const heap = heapMb()
  const { plan, violations, digest, events, requests, doubles, starts, kills, repairs, gaps, holes, connections, steps } = outcome
  const figures = { events, requests, doubles, starts, kills, repairs, gaps, holes, connections, steps }
  const row: Record<string, number | string> = { ...figures, seed: first, faults: plan.faults.length, seconds: ((performance.now() - began) / 1_000).toFixed(1), 'heap MB': heap.toFixed(0) }
  console.log(Object.entries(WIDTHS).map(([name, width]) => String(row[name] ?? '').padStart(width)).join(''), digest.slice(0, 8))
  if (violations.length === 0) return 0
  await explain(outcome)
  return 1
}

/** How many runs have violations. */
async function runAll(): Promise<number> {
  const queue = new PQueue({ concurrency: jobs })
  let failed = 0
  const runOne = async (seed: number): Promise<void> => {
    const options = ['--seed', String(seed), '--days', String(days), '--intensity', String(intensity), '--shrink', String(mostRuns)]
    const script = process.argv[1] ?? ''
    const { stdout, status } = await promisify(execFile)(process.execPath, [...process.execArgv, script, ...options], { maxBuffer: 2 ** 26 }).then(
      (ended) => ({ ...ended, status: 0 }),
      (error: unknown) => endOf(error),
    )
    console.log(stdout.split('\n').slice(1, -2).join('\n'))
    if (status === 0) return
    failed += 1
    if (values.bail) queue.clear()
  }
  const failure = queue.onError()
  // The queue tells of it too, at the first.
  for (let index = 0; index < runs; index += 1) queue.add(() => runOne(first + index)).catch(() => undefined)
  await Promise.race([queue.onIdle(), failure])
  return failed
}

/** Of a process that has found violations; throws what any other says. */
function endOf(error: unknown): { readonly stdout: string; readonly status: number } {
  if (error instanceof Error && 'stdout' in error && 'code' in error && error.code === 1 && String(error.stdout).includes('with violations')) return { stdout: String(error.stdout), status: 1 }
  throw error
}

async function explain(failed: Outcome): Promise<void> {
  const kinds = new Map<string, number>()
  for (const { kind } of failed.violations) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  console.log(`seed ${failed.plan.seed}: ${[...kinds].map(([kind, times]) => `${kind} (${times})`).join(', ')}`)
  const shortest = mostRuns === 0 ? failed : await shrink(failed, mostRuns)
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
