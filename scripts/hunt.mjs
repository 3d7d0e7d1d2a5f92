// npm run hunt -- [--seed N] [--kills N] [--faults N]: faults on the way into Kafka at random moments, many more than in the tests.
// npm run hunt -- --minutes M [--seed N] [--buffer embedded or kafka]: the whole path from the API to Devo, in trouble for so long, with both buffers.
// A seed makes the same faults again, though not to the millisecond.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    kills: { type: 'string', default: '20' },
    faults: { type: 'string', default: '30' },
    minutes: { type: 'string' },
    buffer: { type: 'string', default: '' },
  },
})
console.log(`seed ${values.seed}`)
const tests =
  values.minutes === undefined
    ? ['test/chaos/kafka-kill.test.ts', 'test/chaos/kafka-hunt.test.ts']
    : ['test/chaos/real.test.ts', '-t', values.buffer === '' ? 'troubles' : `${values.buffer} buffer`]
const { status } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...tests], {
  stdio: 'inherit',
  env: { ...process.env, HUNT_SEED: values.seed, HUNT_KILLS: values.kills, HUNT_FAULTS: values.faults, HUNT_MINUTES: values.minutes ?? '' },
})
process.exitCode = status ?? 1
