// Takes the pictures of the status page in docs/images: the built collector, the simulator, a real browser.
// Usage: npm run build && npm run screenshots
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { TapTraffic } from '../src/simulator/events.ts'
import { startSimulator } from '../src/simulator/simulator.ts'
import { startBrowser } from '../test/page/chromium.ts'

const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))

const dir = await mkdtemp(join(tmpdir(), 'tap-screenshots-'))
const simulator = await startSimulator({ dir, eventsPerMinute: 0, httpPort: 0 })
simulator.tap.model.events.supply(new TapTraffic({ seed: 1, perHour: 2_000, nasty: 0, twins: 0, from: Date.now() - 3_600_000 }))
// An output that is down, so that the page has something to say.
const config = await readFile(simulator.configPath, 'utf8')
await writeFile(simulator.configPath, config.replace(/^outputs:\n/m, 'outputs:\n  archive: {type: relay, config: {address: 127.0.0.1, port: 9}}\n'))
const collector = spawn(process.execPath, [path('dist/cli.js'), 'run', '--config', simulator.configPath], { stdio: ['ignore', 'pipe', 'inherit'] })
const ended = once(collector, 'exit')
const browser = await startBrowser()
try {
  let url = ''
  for await (const line of createInterface({ input: collector.stdout })) {
    url = /the status page at (\S+\/)"/.exec(line)?.[1] ?? ''
    if (url !== '') break
  }
  collector.stdout.resume()
  const shots = [
    { file: 'status-page.png', colorScheme: 'light', viewport: { width: 1_100, height: 1_000 } },
    { file: 'status-page-dark.png', colorScheme: 'dark', viewport: { width: 390, height: 844 } },
  ] as const
  for (const { file, colorScheme, viewport } of shots) {
    const page = await browser.newPage({ colorScheme, viewport, timezoneId: 'Europe/Madrid' })
    await page.goto(url)
    await page.locator('[data-part="archive"]', { hasText: /[1-9]\d* events/ }).waitFor()
    await page.locator('[data-part="devo_1"]', { hasText: 'has all' }).waitFor()
    await page.screenshot({ path: path(`docs/images/${file}`) })
    await page.close()
  }
} finally {
  await browser.close()
  collector.kill('SIGTERM')
  await ended
  await simulator.stop()
  await rm(dir, { recursive: true, force: true })
}
