import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { TAP_ARRAYS, HOUR_MS } from '../../src/simulator/tap-api.ts'
import { readFilters } from '../../src/simulator/tap-filters.ts'
import { TAP_SERVICES, TAP_TABLES } from '../../src/sources/proofpoint-tap/services.ts'

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
/** The API serves seven days; a start needs a moment. */
const DAYS_IN_MINUTES = 7 * 24 * 60 - 5

/** Seven days of all four services in one go (`run --once`): what it takes, and whether each event arrived and each hour was asked for once. */
export async function measureCatchUp(events: number): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'tap-catch-up-'))
  const simulator = await startSimulator({
    dir,
    eventsPerMinute: events / 4 / DAYS_IN_MINUTES,
    backlogMinutes: DAYS_IN_MINUTES,
    late: 0,
    nasty: 0,
    httpPort: 0,
  })
  const { entries } = simulator.tap.model.log
  try {
    const startedAt = performance.now()
    const collector = spawn(process.execPath, [CLI, 'run', '--once', '--config', simulator.configPath], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const code: unknown = (await once(collector, 'exit'))[0]
    const seconds = (performance.now() - startedAt) / 1_000

    const matches = readFilters(new URLSearchParams())
    const missing = TAP_ARRAYS.map((service) => {
      const asked = entries.flatMap(({ path, window }) => (path === TAP_SERVICES[service].endpoint && window !== null ? [window] : []))
      const from = Math.min(...asked.map((window) => window.from))
      const to = Math.max(...asked.map((window) => window.to))
      const expected = [...simulator.traffic.between(service, from, to)].filter(matches).length
      return expected - (simulator.receiver.tally.tags.get(TAP_TABLES[service])?.events ?? 0)
    })
    const hours = Math.ceil((DAYS_IN_MINUTES * 60_000) / HOUR_MS) * TAP_ARRAYS.length
    return (
      `catch-up of 7 days x 4 services: ${simulator.receiver.events} events in ${seconds.toFixed(0)} s, exit ${String(code)}, ` +
      `${missing.reduce((sum, count) => sum + Math.abs(count), 0)} missing or doubled; ${entries.length} requests for ${hours} hours`
    )
  } finally {
    await simulator.stop()
    await rm(dir, { recursive: true, force: true })
  }
}
