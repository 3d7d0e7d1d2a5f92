// Makes docs/images/terminal.svg of what the built collector really prints, on a terminal and against the simulator: Devo away, then there.
// Usage: npm run build && npm run recording (needs `script` of util-linux)
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { TapTraffic } from '../src/simulator/events.ts'
import { startSimulator } from '../src/simulator/simulator.ts'
import { terminalSvg } from './terminal/svg.ts'

const COLUMNS = 132
/** Stands in the picture for a folder that is gone when somebody looks at it. */
const SHOWN_FOLDER = '/opt/tap'
const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))

const dir = await mkdtemp(join(tmpdir(), 'tap-recording-'))
const simulator = await startSimulator({ dir, eventsPerMinute: 0, requestsPerDay: 1_800, requestPeriodInSeconds: 300, lookBackInMinutes: 45, backlogMinutes: 120 })
simulator.tap.model.events.supply(new TapTraffic({ seed: 1, perHour: 2_000, nasty: 0, twins: 0, from: Date.now() - 2 * 3_600_000 }))

async function shown(args: string): Promise<{ readonly command: string; readonly output: string }> {
  const command = `stty cols ${COLUMNS}; ${process.execPath} ${path('dist/cli.js')} ${args}`
  const terminal = spawn('script', ['--quiet', '--command', command, '/dev/null'], { cwd: dir, stdio: ['ignore', 'pipe', 'inherit'] })
  const [output] = await Promise.all([text(terminal.stdout), once(terminal, 'exit')])
  return { command: `npx tap-collector ${args}`, output: output.replaceAll('\r\n', '\n').replaceAll(dir, SHOWN_FOLDER) }
}

try {
  simulator.receiver.refuseConnections()
  const away = await shown('validate --connect')
  await simulator.receiver.acceptConnections()
  const typed = [away, await shown('run --once'), await shown('status')]
  await writeFile(path('docs/images/terminal.svg'), terminalSvg(typed, COLUMNS))
} finally {
  await simulator.stop()
  await rm(dir, { recursive: true, force: true })
}
