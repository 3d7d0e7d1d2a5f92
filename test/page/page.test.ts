import Database from 'better-sqlite3'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { describe, expect, onTestFinished, test } from 'vitest'
import { hostileEvent } from '../../src/simulator/events.ts'
import { HOUR_MS, makeWorld, MINUTE_MS, type ConfigFile } from '../e2e/world.ts'
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
    await cardSays(page, 'devo_1', 'waits', 'ECONNREFUSED', /[1-9]\d* events/, /days left/)
    await page.locator('#attention', { hasText: 'devo_1' }).waitFor()
    expect(await page.locator('#verdict').textContent()).toBe('waits')
    await cardSays(page, 'siem', 'waits', MARKUP)
    expect(await page.locator('img, main script').count()).toBe(0)
    expect(await page.title()).toBe('e2e — TAP collector')
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
    await cardSays(page, CLICKS, 'waits', '401')
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

  test('shows a quota that is used up and when it is free again, dead letters, a gap and a hole, which the keyboard opens and an update leaves open', async () => {
    const world = await makeWorld({
      perHour: 0,
      configure: (config) => {
        oneService(config)
        Object.assign(config.inputs.proofpoint_tap ?? {}, { requests_limits: [{ period: '1d', number_of_requests: 3 }] })
        Object.assign(config.inputs.proofpoint_tap?.services.clicksBlocked ?? {}, { request_period_in_seconds: 1 })
      },
    })
    world.add(hostileEvent('number', 'clicksBlocked', Date.now() - 10 * MINUTE_MS))
    const first = world.start(['run'])
    await first.logged('is kept as a dead letter')
    await first.stop()
    // Off for longer than the API goes back, and a piece that it has not served for hours.
    const db = new Database(join(world.stateDir, 'buffer.db'))
    const from = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 24 * HOUR_MS
    db.prepare('UPDATE services SET settled = ?').run(Date.now() - 8 * 24 * HOUR_MS)
    db.prepare('INSERT INTO holes VALUES (12345, ?, ?, ?, ?, ?, ?)').run('clicksBlocked', from, from + MINUTE_MS, from, Date.now(), `500: ${MARKUP}`)
    db.close()
    const page = await open(`http://127.0.0.1:${await world.start(['run']).httpPort()}/`)
    await cardSays(page, 'proofpoint_tap/siem', 'used up', 'Used3 of 3', /free at .* UTC/)
    await cardSays(page, CLICKS, 'Holes, gaps1, 1')
    await cardSays(page, 'embedded', /Dead letters1, 1 of them refused/, /of 10,?240/)
    await page.locator('#attention', { hasText: 'gap, lost for good' }).waitFor()
    await page.locator('summary').focus()
    await page.keyboard.press('Enter')
    await page.locator('details[open]', { hasText: MARKUP }).waitFor()
    expect(await page.locator('img, main script').count()).toBe(0)
    expect(await world.run(['dead-letters', 'drop'])).toMatchObject({ code: 0 })
    await cardSays(page, 'embedded', /Dead letters0/)
    expect(await page.locator('details[open]').count()).toBe(1)
    expect(await page.evaluate('document.activeElement.tagName')).toBe('SUMMARY')
  })

  test('shows a full buffer', async () => {
    const world = await makeWorld({
      perHour: 20_000,
      traffic: { until },
      configure: (config) => Object.assign(config, { buffer: { type: 'embedded', config: { max_size_in_mb: 8 } } }),
    })
    world.receiver.refuseConnections()
    const page = await open(`http://127.0.0.1:${await world.start(['run']).httpPort()}/`)
    await cardSays(page, 'embedded', 'full', /of 8\.0 MB/)
  })

  test('asks for the token and says of a wrong one that it is wrong', async () => {
    const world = await makeWorld({ perHour: 0, configure: ({ globals }) => Object.assign(globals.http, { token: 'a-token-of-mine' }) })
    const page = await open(`http://127.0.0.1:${await world.start(['run']).httpPort()}/`, { mayComplain: /401/ })
    await page.getByLabel('Token').waitFor()
    for (const [token, sign] of [['€uro', 'This token is not the right one.'], ['another', 'This token is not the right one.'], ['a-token-of-mine', 'clicksBlocked']] as const) {
      await page.keyboard.type(token)
      await page.keyboard.press('Enter')
      await page.getByText(sign).first().waitFor()
    }
    expect(await page.content()).not.toContain('a-token-of-mine')
    expect(page.url()).not.toContain('token')
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
