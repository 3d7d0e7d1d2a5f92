import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { makeWorld, MINUTE_MS } from './world.ts'

interface Ready {
  readonly ready: boolean
  readonly reasons: readonly { part: string; code: string | null; reason: string; since: string }[]
}

const until = Date.now() - 2 * MINUTE_MS

async function look(port: number): Promise<{ status: number; body: Ready }> {
  const response = await fetch(`http://127.0.0.1:${port}/readyz`)
  return { status: response.status, body: (await response.json()) as Ready }
}

/** Asks until the answer is the wanted one; the test's own time-out ends it. */
async function lookUntil(port: number, wanted: (seen: { status: number; body: Ready }) => boolean) {
  for (;;) {
    const seen = await look(port)
    if (wanted(seen)) return seen
  }
}

describe('the health page', () => {
  test('is alive and ready, and tells since when and why it is not while the output is down', async () => {
    const world = await makeWorld({ traffic: { until } })
    world.receiver.refuseConnections()
    const collector = world.start(['run'])
    const port = await collector.httpPort()
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
    const { body } = await lookUntil(port, ({ status, body: { reasons } }) => status === 503 && reasons.some(({ part, reason }) => part === 'devo_1' && reason.includes('ECONNREFUSED')))
    expect(body.ready).toBe(false)
    const [reason] = body.reasons.filter(({ part }) => part === 'devo_1')
    expect([reason?.code, reason?.since]).toEqual(['PeerUnreachable [CODE:0800]', expect.stringMatching(/^\d{4}-.*Z$/)])
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)

    await world.receiver.acceptConnections()
    await world.allArrive(until)
    await lookUntil(port, ({ status, body: { ready } }) => status === 200 && ready)
    expect((await fetch(`http://127.0.0.1:${port}/nothing`)).status).toBe(404)
    expect(await collector.stop()).toMatchObject({ code: 0 })
  })

  test('tells of a login that is refused', async () => {
    const world = await makeWorld({
      configure: ({ inputs }) => Object.assign(inputs.proofpoint_tap?.credentials ?? {}, { password: 'another-password' }),
    })
    const collector = world.start(['run'])
    const port = await collector.httpPort()
    const { body } = await lookUntil(port, ({ status, body: { reasons } }) => status === 503 && reasons.some(({ part, reason }) => part === 'proofpoint_tap/clicksBlocked' && reason.includes('login refused (401)')))
    expect(body.reasons.map(({ code }) => code)).toContain('ApiLoginRefused [CODE:0401]')
    expect(JSON.stringify(body)).not.toContain('another-password')
    // It stays and tries again, whatever the API answers, but it does not burn the quota.
    expect(world.model.log.entries.length).toBeLessThanOrEqual(8)
    expect(await collector.stop()).toMatchObject({ code: 0 })
  })

  test('of which the port is busy is a warning, and nothing else is missing', async () => {
    const busy = createServer().listen(0, '127.0.0.1')
    await once(busy, 'listening')
    onTestFinished(() => void busy.close())
    const address = busy.address()
    const port = typeof address === 'object' ? address?.port : 0
    const world = await makeWorld({ traffic: { until }, configure: ({ globals }) => Object.assign(globals.http, { port }) })
    const collector = world.start(['run'])
    expect(await collector.logged(/health page is off.*/)).toMatchObject({ level: 'warn', port })
    await world.allArrive(until)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
  })
})
