import { spawnSync } from 'node:child_process'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished } from 'vitest'
import { INSTALL, startBrowser } from './chromium.ts'

/** Without Chromium a developer goes without, and the run says so; a build fails. */
export const describeBrowser = describe.skipIf(process.env.CI === undefined && spawnSync('bash', [INSTALL, '--check'], { stdio: 'ignore' }).status !== 0)

export interface PageOptions extends BrowserContextOptions {
  /** Which errors the browser may report. */
  readonly mayComplain?: RegExp
  /** Lets `page.clock.fastForward` bring the page's timers on. */
  readonly hasOwnClock?: boolean
}

/** One browser for all tests of the describe block; each page is a new user, and a complaint of the browser fails its test. */
export function useBrowser(): (url: string, options?: PageOptions) => Promise<Page> {
  let browser: Browser | null = null
  beforeAll(async () => {
    browser = await startBrowser()
  })
  afterAll(async () => browser?.close())
  return async (url, { mayComplain, hasOwnClock = false, ...options } = {}) => {
    if (browser === null) throw new Error('the browser has not started')
    const context = await browser.newContext({ timezoneId: 'Asia/Tokyo', locale: 'en-GB', ...options })
    const complaints: string[] = []
    const page = await context.newPage()
    page.setDefaultTimeout(20_000)
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => {
      if (message.type() === 'error' && mayComplain?.test(message.text()) !== true) complaints.push(message.text())
    })
    page.on('request', (request) => {
      if (new URL(request.url()).host !== new URL(url).host && !request.url().startsWith('data:')) complaints.push(`a request to ${request.url()}`)
    })
    onTestFinished(async () => {
      await context.close()
      expect(complaints).toEqual([])
    })
    if (hasOwnClock) await page.clock.install()
    await page.goto(url)
    return page
  }
}

/** The card of a service, an output, a pool or the buffer, once it says all of this. */
export async function cardSays(page: Page, part: string, ...texts: readonly (string | RegExp)[]): Promise<void> {
  for (const text of texts) await page.locator(`[data-part="${part}"]`).filter({ hasText: text }).waitFor()
}
