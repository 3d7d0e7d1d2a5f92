import { once } from 'node:events'
import { createServer } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import type { Page } from 'playwright-core'
import { describe, expect, onTestFinished, test } from 'vitest'
import { runCollector } from '../../src/commands/collector.ts'
import { loadConfig } from '../../src/config/load.ts'
import { Counters } from '../../src/pipeline/counters.ts'
import { hostileEvent } from '../../src/simulator/events.ts'
import { HOUR_MS, makeWorld, MINUTE_MS, writeTime, type ConfigFile, type World } from '../e2e/world.ts'
import { LeapingClock } from '../support/leaping-clock.ts'
import { cardSays, describeBrowser, useBrowser } from './browser.ts'

const until = Date.now() - 2 * MINUTE_MS
const MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
const CLICKS = 'proofpoint_tap/clicksBlocked'

const oneService = ({ inputs }: ConfigFile): void => {
  const { services } = inputs.proofpoint_tap ?? {}
  for (const name of Object.keys(services ?? {})) if (name !== 'clicksBlocked') Reflect.deleteProperty(services ?? {}, name)
}

async function isWithin(page: Page): Promise<void> {
  expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBeLessThanOrEqual(0)
}

/** How many columns and rows the cards of a section make. */
async function grid(page: Page, section: string): Promise<readonly [number, number]> {
  const boxes = await Promise.all((await page.locator(`section[aria-label="${section}"] article`).all()).map((card) => card.boundingBox()))
  return [new Set(boxes.map((box) => box?.x)).size, new Set(boxes.map((box) => box?.y)).size]
}

/** The whole collector in this process, over the same sockets and files, with a clock that can leap: the port of its page, and its log as it grows. */
async function runWith(clock: LeapingClock, world: World): Promise<{ readonly port: number; readonly lines: readonly string[] }> {
  const { config } = await loadConfig({ file: world.configPath, env: {}, now: Date.now() })
  const lines: string[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) })
  const stop = new AbortController()
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const running = runCollector({ config, clock, log, counters: new Counters(), stop: stop.signal, once: false, onServing: resolve })
  running.catch(reject)
  onTestFinished(async () => {
    stop.abort(new Error('the test is over'))
    await running
  })
  return { port: await promise, lines }
}

describeBrowser('the status page in a browser', () => {
  const open = useBrowser()

  test('shows outputs that are down without making markup of what one says, live that it is back, and comes back itself when the collector was restarted', async () => {
    let isBroken = true
    const siem = createServer((request, response) => {
      request.resume().once('end', () => response.writeHead(isBroken ? 500 : 200).end(isBroken ? MARKUP : ''))
    }).listen(0, '127.0.0.1')
    await once(siem, 'listening')
    onTestFinished(() => void siem.close())
    const address = siem.address()
    const siemPort = typeof address === 'object' ? (address?.port ?? 0) : 0
    const world = await makeWorld({
      traffic: { until },
      configure: ({ outputs }) => Object.assign(outputs, { siem: { type: 'http', config: { url: `http://127.0.0.1:${siemPort}/`, format: 'ndjson' } } }),
    })
    world.receiver.refuseConnections()
    const collector = world.start(['run'])
    const port = await collector.httpPort()
    const page = await open(`http://127.0.0.1:${port}/`, { mayComplain: /Failed to load resource|ERR_/ })
    await cardSays(page, 'devo_1', 'waits', 'PeerUnreachable [CODE:0800]', 'ECONNREFUSED', /[1-9]\d* events/, /days left/)
    await page.locator('#attention li', { hasText: /^devo_1 PeerUnreachable \[CODE:0800\]/ }).waitFor()
    expect(await page.locator('#verdict').textContent()).toBe('waits')
    await cardSays(page, 'siem', 'waits', 'HttpServerError [CODE:0906]', MARKUP)
    expect(await page.locator('img, main script').count()).toBe(0)
    expect(await page.title()).toBe('e2e — TAP collector')
    expect(await grid(page, 'Services')).toEqual([2, 2])
    await page.setViewportSize({ width: 320, height: 640 })
    expect(await grid(page, 'Services')).toEqual([1, 4])
    await isWithin(page)
    await page.evaluate('window.mark = 1')
    isBroken = false
    await world.receiver.acceptConnections()
    await world.allArrive(until)
    await cardSays(page, 'devo_1', 'has all', '0 events', 'over since')
    await cardSays(page, CLICKS, 'reads', /Settled.* UTC \(.* local\)/, /[1-9]\d* new events in 24 h/)
    await page.locator('#verdict', { hasText: 'makes progress' }).waitFor()

    await collector.stop()
    await page.locator('#connection', { hasText: 'does not answer; trying again' }).waitFor()
    await world.configure(({ globals }) => Object.assign(globals.http, { port }))
    world.start(['run'])
    await page.locator('#connection', { hasText: 'live' }).waitFor()
    await cardSays(page, 'devo_1', 'has all')
    expect(await page.evaluate('window.mark')).toBe(1)
  })

  test('shows a refused login; on a phone, dark and light, with the keyboard alone', async () => {
    const world = await makeWorld({
      perHour: 0,
      configure: oneService,
    })
    world.tap.model.faults.set({ kind: 'status', status: 401, body: MARKUP })
    const url = `http://127.0.0.1:${await world.start(['run']).httpPort()}/`
    const page = await open(url, { viewport: { width: 320, height: 640 }, colorScheme: 'dark' })
    await cardSays(page, CLICKS, 'waits', 'ApiLoginRefused [CODE:0401]', MARKUP)
    await isWithin(page)
    const ground = (): Promise<unknown> => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const dark = await ground()
    await page.emulateMedia({ colorScheme: 'light' })
    expect(await ground()).not.toBe(dark)
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement.textContent')).toBe('To the content')
    await page.keyboard.press('Enter')
    expect(await page.evaluate('document.activeElement.id')).toBe('main')
  })

  test('shows a quota that is used up and when it is free again, a gap, and dead letters until they are dropped', async () => {
    // The API, whose clock is five minutes ahead, no longer has what was to be read first.
    const start = Date.now() - 7 * 24 * HOUR_MS + 2 * MINUTE_MS
    const world = await makeWorld({
      perHour: 0,
      settings: { clockSkewMs: 5 * MINUTE_MS },
      configure: (config) => {
        oneService(config)
        Object.assign(config.inputs.proofpoint_tap ?? {}, { requests_limits: [{ period: '1d', number_of_requests: 3 }] })
        Object.assign(config.inputs.proofpoint_tap?.services.clicksBlocked ?? {}, { start_time_in_utc_format: writeTime(start) })
      },
    })
    world.add(hostileEvent('number', 'clicksBlocked', start + 15 * MINUTE_MS))
    const page = await open(`http://127.0.0.1:${await world.start(['run']).httpPort()}/`)
    await cardSays(page, 'proofpoint_tap/siem', 'used up', 'Used3 of 3', /free at .* UTC/)
    await cardSays(page, CLICKS, 'waits', 'QuotaUsedUp [CODE:0201]', 'Holes, gaps0, 1')
    await cardSays(page, 'embedded', /Dead letters1, 1 of them refused/, /of 10,?240/)
    await page.locator('#attention li', { hasText: `Gap [CODE:0304] gap, lost for good: ${writeTime(start).slice(0, 10)}` }).waitFor()
    expect(await world.run(['dead-letters', 'drop'])).toMatchObject({ code: 0 })
    await cardSays(page, 'embedded', /Dead letters0/)
  })

  test('shows a hole while the API does not serve a minute, which the keyboard opens and an update leaves open, and that it is closed', async () => {
    const world = await makeWorld({ perHour: 0, backlogMinutes: 10, configure: oneService })
    const minute = Math.floor((Date.now() - 6 * MINUTE_MS) / MINUTE_MS) * MINUTE_MS
    world.model.faults.set({ kind: 'status', status: 500, body: MARKUP, minute })
    const clock = new LeapingClock()
    const { port, lines } = await runWith(clock, world)
    const page = await open(`http://127.0.0.1:${port}/`)
    const leap = (ms: number): void => {
      clock.leap(ms)
      world.model.configure({ clockSkewMs: world.model.settings.clockSkewMs + ms })
    }
    await cardSays(page, CLICKS, 'waits', 'ApiBroken [CODE:0451]')
    // A piece that fails is a hole when it has failed for an hour, and what lies behind it is served.
    const told = (text: string): number => lines.filter((line) => line.includes(text)).length
    while (told('A hole: ') === 0) {
      const waits = told('Waiting, it goes on')
      leap(6 * MINUTE_MS)
      while (told('Waiting, it goes on') === waits && told('A hole: ') === 0) await turn()
    }
    const hole = page.locator('#attention li', { hasText: 'Hole [CODE:0303] the API cannot serve' })
    await hole.waitFor()
    await cardSays(page, CLICKS, 'reads on behind a hole', /Holes, gaps[1-9], 0/)
    await page.locator('#verdict', { hasText: 'makes progress' }).waitFor()
    await page.locator('summary').focus()
    await page.keyboard.press('Enter')
    await page.locator('details[open]', { hasText: MARKUP }).waitFor()
    expect(await page.locator('img, main script').count()).toBe(0)
    const stop = world.model.faults.set({ kind: 'status', status: 401 })
    await cardSays(page, CLICKS, 'ApiLoginRefused [CODE:0401]')
    expect(await page.locator('details[open]').count()).toBe(1)
    expect(await page.evaluate('document.activeElement.tagName')).toBe('SUMMARY')
    stop()
    world.model.faults.clear()
    leap(HOUR_MS)
    await cardSays(page, CLICKS, 'reads', 'Holes, gaps0, 0', 'over since')
    await hole.waitFor({ state: 'detached' })
  })

  test('shows a full buffer, and why nothing is fetched', async () => {
    const world = await makeWorld({
      perHour: 20_000,
      traffic: { until },
      configure: (config) => Object.assign(config, { buffer: { type: 'embedded', config: { max_size_in_mb: 8 } } }),
    })
    world.receiver.refuseConnections()
    const page = await open(`http://127.0.0.1:${await world.start(['run']).httpPort()}/`)
    await cardSays(page, 'embedded', 'full', /of 8\.0 MB/)
    await page.locator('#attention li', { hasText: 'BufferFull [CODE:0501]' }).first().waitFor()
  })
})

describe('what the status page is served with', () => {
  test('nothing may come from elsewhere, nothing is changed, and other names than this machine are refused', async () => {
    const world = await makeWorld({ perHour: 0 })
    const url = `http://127.0.0.1:${await world.start(['run']).httpPort()}`
    for (const path of ['/', '/page.js', '/page.css', '/status.json']) {
      const { status, headers } = await fetch(url + path)
      expect([path, status, headers.get('x-content-type-options'), headers.get('referrer-policy')]).toEqual([path, 200, 'nosniff', 'no-referrer'])
      expect(headers.get('content-security-policy')).toMatch(/^default-src 'none';(?!.*unsafe)/)
      expect((await fetch(url + path, { method: 'POST' })).status).toBe(405)
      expect((await fetch(url + path, { method: 'HEAD' })).status).toBe(200)
    }
    expect((await fetch(`${url}/page/../../../package.json`)).status).toBe(404)
  })
})
