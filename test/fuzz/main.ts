/**
 * `npm run fuzz -- [--seed 1] [--minutes 10] [--only TEXT]`: every kind of hostile input in turn, as many cases as the minutes allow. Prints how
 * many there were, and of what fails the smallest case. Exit 1 where anything failed; a case that never ends is told, and ends the run.
 */
import { parseArgs } from 'node:util'
import { runTarget } from './target.ts'
import { fuzzTargets } from './targets.ts'
import { watchCases } from './watchdog.ts'

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, minutes: { type: 'string', default: '10' }, only: { type: 'string', default: '' } },
})
const [seed, minutes] = [Number(values.seed), Number(values.minutes)]
if (!Number.isSafeInteger(seed) || !(minutes > 0)) throw new Error('--seed takes a whole number, --minutes more than 0')

const chosen = fuzzTargets.filter(({ name }) => name.includes(values.only))
const forMs = (minutes * 60_000) / chosen.length
const watchdog = watchCases()
let failures = 0
for (const fuzzed of chosen) {
  const { cases, failure } = await runTarget(fuzzed, { seed, forMs, onCase: (input) => watchdog.began(fuzzed.name, input) })
  console.log(`${String(cases).padStart(9)} cases  ${fuzzed.name}`)
  if (failure === null) continue
  failures += 1
  console.log(failure)
}
await watchdog.end()
console.log(failures === 0 ? `seed ${seed}: nothing failed` : `seed ${seed}: ${failures} of ${chosen.length} failed`)
process.exitCode = failures === 0 ? 0 : 1
