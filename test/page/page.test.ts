import { expect, test } from 'vitest'
import { makeWorld, MINUTE_MS } from '../e2e/world.ts'
import { cardSays, describeBrowser, useBrowser } from './browser.ts'

const until = Date.now() - 2 * MINUTE_MS

describeBrowser('the status page in a browser', () => {
  const open = useBrowser()

  test('shows an output that is down, and live that it is back', async () => {
    const world = await makeWorld({ traffic: { until } })
    world.receiver.refuseConnections()
    const page = await open(`http://127.0.0.1:${await world.start(['run']).httpPort()}/`)
    await cardSays(page, 'devo_1', 'waits', 'ECONNREFUSED', /[1-9]\d* events/, /days left/)
    await page.getByText('What needs attention').waitFor()
    expect(await page.locator('#verdict').textContent()).toBe('waits')
    await world.receiver.acceptConnections()
    await world.allArrive(until)
    await cardSays(page, 'devo_1', 'has all', '0 events', 'over since')
    await cardSays(page, 'proofpoint_tap/clicksBlocked', 'reads', /Settled.* UTC \(.* local\)/, /[1-9]\d* new events in 24 h/)
    await page.locator('#verdict', { hasText: 'makes progress' }).waitFor()
  })
})
