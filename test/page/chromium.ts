import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser } from 'playwright-core'

export const INSTALL = fileURLToPath(new URL('../../scripts/install-chromium.sh', import.meta.url))

/** A real browser, fetched where it is not there yet. Without its sandbox, which root and containers do not have: it sees nothing but pages of this machine. */
export function startBrowser(): Promise<Browser> {
  const executablePath = execFileSync('bash', [INSTALL], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' }).trim()
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
}
