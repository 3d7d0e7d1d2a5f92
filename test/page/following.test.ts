import type { Page } from 'playwright-core'
import { beforeAll, expect, test } from 'vitest'
import { makeKafkaWorld } from '../chaos/kafka-world.ts'
import { makeWorld, MINUTE_MS } from '../e2e/world.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { cardSays, describeBrowser, useBrowser } from './browser.ts'
import { startPageProxy } from './proxy.ts'

const CLICKS = 'proofpoint_tap/clicksBlocked'

const connectionSays = async (page: Page, text: string | RegExp): Promise<void> => page.locator('#connection', { hasText: text }).waitFor()

/** Counts what the page waits for. */
const COUNT_ASKING = `
  const ask = fetch
  window.asking = 0
  window.fetch = async (path, options) => {
    if (path !== 'status.json') return ask(path, options)
    asking += 1
    try {
      const answer = await ask(path, options)
      return new Response(await answer.text(), answer)
    } finally {
      asking -= 1
    }
  }`

/** Brings the page's timers on, step by step, until it says so; an answer that the page waits for takes its real time. */
async function inTime(page: Page, isWanted: () => Promise<boolean>): Promise<void> {
  while (!(await isWanted())) if ((await page.evaluate('asking')) === 0) await page.clock.fastForward(5_000)
}

describeBrowser('how the page follows the collector', () => {
  const open = useBrowser()

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

  test('asks now and then where too many look on, or a proxy holds the stream back; goes on live when it can; a stream that falls silent is begun again', async () => {
    const world = await makeWorld({ perHour: 0 })
    const port = await world.start(['run']).httpPort()
    const leave = new AbortController()
    const look = () => fetch(`http://127.0.0.1:${port}/status/events`, { signal: leave.signal })
    const viewers = await Promise.all(Array.from({ length: 20 }, look))
    expect(viewers.map(({ status }) => status)).toEqual(viewers.map(() => 200))
    const proxy = await startPageProxy(port)
    const page = await open(proxy.url, { hasOwnClock: true, mayComplain: /503/ })
    await connectionSays(page, 'every 10 s')
    await page.evaluate(COUNT_ASKING)
    await page.evaluate(`
      window.said = []
      new MutationObserver(() => said.push(document.getElementById('connection').textContent)).observe(document.getElementById('connection'), { childList: true })
    `)

    // Two minutes, in which the stream is tried again: it is no longer refused, but nothing comes of it.
    leave.abort()
    proxy.holdStreams()
    world.model.faults.set({ kind: 'status', status: 401, path: '/v2/siem/clicks/blocked' })
    const until = Number(await page.evaluate('Date.now()')) + 2 * MINUTE_MS
    await inTime(page, async () => Number(await page.evaluate('Date.now()')) > until)
    await inTime(page, async () => (await page.locator('#attention', { hasText: 'ApiLoginRefused [CODE:0401]' }).count()) > 0)
    expect(await page.evaluate('said')).toEqual([])

    proxy.passStreams()
    await inTime(page, async () => (await page.locator('#connection', { hasText: 'live' }).count()) > 0)
    expect(await page.evaluate('said')).toEqual(['live'])
    // Silent from here on, and not ended.
    proxy.holdStreams()
    proxy.passStreams()
    await page.clock.fastForward(11_000)
    await connectionSays(page, 'does not answer; trying again')
    await page.clock.fastForward(2_000)
    await connectionSays(page, /^live, back after \d+ s away$/)
    const said = await page.locator('#connection').textContent()
    await page.clock.fastForward(5_000)
    const other = page.locator('[data-part="proofpoint_tap/clicksPermitted"]')
    const before = await other.textContent()
    while ((await other.textContent()) === before) await page.evaluate('new Promise(requestAnimationFrame)')
    expect(await page.locator('#connection').textContent()).toBe(said)
  })

  describeKafka('with the Kafka buffer', () => {
    let brokers: readonly string[]
    beforeAll(async () => {
      brokers = await sharedBroker()
    })

    test('shows what was delivered, a process that stands by, and that it reads when the other has gone', async () => {
      const until = Date.now() - 2 * MINUTE_MS
      const world = await makeKafkaWorld({ brokers, perHour: 600, traffic: { until } })
      const owner = world.start(['run'])
      const page = await open(`http://127.0.0.1:${await owner.httpPort()}/`, { mayComplain: /Failed to load resource|ERR_/ })
      await world.allArrive(until)
      await cardSays(page, 'kafka', 'answers', 'Dead letters0')
      await cardSays(page, 'devo_1', 'has all', '0 events')
      await cardSays(page, CLICKS, 'reads', /[1-9]\d* new events in 24 h/)

      const second = await open(`http://127.0.0.1:${await world.start(['run']).httpPort()}/`)
      await second.locator('#verdict', { hasText: 'stands by' }).waitFor()
      await second.locator('#attention li', { hasText: 'StandingBy [CODE:0111] another collector reads the inputs' }).waitFor()
      await cardSays(second, CLICKS, 'stands by', /Settled.* UTC/)
      await cardSays(second, 'devo_1', 'has all')
      expect(await owner.stop()).toMatchObject({ code: 0 })
      await connectionSays(page, 'does not answer')
      await second.locator('#verdict', { hasText: 'makes progress' }).waitFor()
      await cardSays(second, CLICKS, 'reads')
    })

    test('shows brokers that are away from the start', async () => {
      const world = await makeKafkaWorld({ brokers: ['127.0.0.1:1'], perHour: 0 })
      const page = await open(`http://127.0.0.1:${await world.start(['run']).httpPort()}/`)
      await page.locator('#verdict', { hasText: 'waits' }).waitFor()
      await cardSays(page, 'kafka', 'waits', 'Readnot yet')
      await page.locator('#attention li', { hasText: /^buffer KafkaUnavailable \[CODE:0600\]/ }).waitFor()
    })
  })
})
