import { afterEach, describe, expect, test } from 'vitest'
import { TapControl } from '../../src/simulator/tap-control.ts'
import type { TapCommand, TapState } from '../../src/simulator/tap-control.ts'
import { TapModel } from '../../src/simulator/tap-model.ts'
import { TapServer } from '../../src/simulator/tap-server.ts'

const NOON = Date.parse('2026-11-20T12:00:00Z')
const AUTHORIZATION = `Basic ${Buffer.from('principal:secret').toString('base64')}`
const PATH = '/v2/siem/clicks/blocked?format=json&interval=PT1H/2026-11-20T12:00:00Z'

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

async function start() {
  const tap = await new TapServer({ model: new TapModel({ now: () => NOON }) }).start()
  const control = await new TapControl(tap).start()
  stops.push(() => tap.stop(), () => control.stop(), () => control.stop())
  const post = (body: string) => fetch(control.url, { method: 'POST', body })
  const command = async (value: TapCommand): Promise<TapState> => {
    const response = await post(JSON.stringify(value))
    expect(response.status).toBe(200)
    // Read back what the control wrote.
    return (await response.json()) as TapState
  }
  const ask = () => fetch(`${tap.baseUrl}${PATH}`, { headers: { authorization: AUTHORIZATION } })
  return { tap, control, post, command, ask }
}

describe('the control port', () => {
  test('adds events, sets faults and settings, tells the counters', async () => {
    const { command, ask, control } = await start()
    const state = await command({
      events: [
        { service: 'clicksBlocked', createdAt: NOON - 1, content: { id: 'a' } },
        { service: 'clicksBlocked', createdAt: NOON - 1, content: '{"id":"b"}' },
        { service: 'clicksBlocked', createdAt: NOON - 1, base64: Buffer.from('{"id":"c"}').toString('base64') },
      ],
      hostile: [{ kind: 'number', service: 'clicksBlocked', createdAt: NOON - 1 }],
      faults: [{ kind: 'status', status: 503, times: 1 }],
      settings: { clockSkewMs: 5, shuffle: false },
    })
    expect(state).toMatchObject({ serverTime: NOON + 5, addedEvents: 4, requests: 0, settings: { clockSkewMs: 5, quota: 1_800 } })
    expect(state.faults).toEqual([{ fault: { kind: 'status', status: 503, times: 1 }, met: 0 }])
    expect((await ask()).status).toBe(503)
    expect(await (await ask()).json()).toMatchObject({ clicksBlocked: [{ id: 'a' }, { id: 'b' }, { id: 'c' }, 42] })
    expect(await (await fetch(control.url)).json()).toMatchObject({ requests: 2, used: { siem: 2, clicks_permitted: 0 }, faults: [] })
    expect(await (await fetch(`${control.url}/log`)).json()).toMatchObject([{ status: 503 }, { status: 200, path: '/v2/siem/clicks/blocked' }])
  })

  test('starts traffic, clears faults', async () => {
    const { command, ask } = await start()
    await command({ faults: [{ kind: 'html' }] })
    expect((await ask()).headers.get('content-type')).toContain('text/html')
    await command({ clearFaults: true, traffic: [{ seed: 1, perHour: 30 }] })
    const { clicksBlocked } = (await (await ask()).json()) as { clicksBlocked: unknown[] }
    expect(clicksBlocked).toHaveLength(30)
  })

  test('refuses connections and accepts them again', async () => {
    const { command, ask } = await start()
    await command({ connections: 'refuse' })
    await expect(ask()).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } })
    await command({ connections: 'accept' })
    expect((await ask()).status).toBe(200)
    await command({ connections: 'drop' })
    expect((await ask()).status).toBe(200)
  })

  test.each([
    ['not JSON', 'JSON'],
    ['null', 'not a JSON object'],
    ['{"fault":[]}', "there is no command 'fault'"],
    ['{"faults":[{"kind":"explode"}]}', "there is no fault 'explode'"],
    ['{"events":[{"service":"clicks","createdAt":1,"content":{}}]}', "there is no service 'clicks'"],
    ['{"events":[{"service":"clicksBlocked","content":{}}]}', 'createdAt'],
    ['{"events":[{"service":"clicksBlocked","createdAt":1}]}', 'content or base64'],
    ['{"hostile":[{"kind":"nice","service":"clicksBlocked","createdAt":1}]}', "no hostile event 'nice'"],
  ])('says what is wrong with %s', async (body, expected) => {
    const { post } = await start()
    const response = await post(body)
    expect(response.status).toBe(400)
    expect(await response.text()).toContain(expected)
  })
})
