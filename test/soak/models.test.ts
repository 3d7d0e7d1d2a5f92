import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { behaviours, type DevoBehaviour } from '../../src/simulator/devo-behaviours.ts'
import { TapTraffic } from '../../src/simulator/events.ts'
import type { TapFault } from '../../src/simulator/tap-faults.ts'
import { TapModel } from '../../src/simulator/tap-model.ts'
import { TapServer } from '../../src/simulator/tap-server.ts'
import type { HttpRequest } from '../../src/sources/proofpoint-tap/http.ts'
import { createHttpClient } from '../../src/sources/proofpoint-tap/undici-request.ts'
import { batchesOf } from '../contract/batches.ts'
import { shipAll } from '../contract/sink-suite.ts'
import { makeWorld } from '../sinks/devo/world.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { ModelApi } from './api.ts'
import { ModelDevo } from './devo.ts'
import { Life } from './life.ts'

/** What the soak takes for the remote sides is what they are over sockets: the same cases, the same outcomes. */

const NOON = Date.parse('2026-11-20T12:00:00Z')

function makeLife(machine: VirtualClock): Life {
  return new Life(1, machine, { onStep: () => undefined, onDeath: () => undefined })
}

describe('the model of the API and the API over sockets', () => {
  const TIMEOUTS = { headersMs: 300, bodyIdleMs: 300 }
  const faults: [string, TapFault[]][] = [
    ['healthy', []],
    ['503', [{ kind: 'status', status: 503, retryAfter: 7 }]],
    ['a page of HTML', [{ kind: 'html' }]],
    ['nothing at all', [{ kind: 'empty' }]],
    ['no array', [{ kind: 'missing-array' }]],
    ['something behind the end', [{ kind: 'trailing', text: '{}' }]],
    ...(['length', 'chunked', 'close', 'ended'] as const).map((framing): [string, TapFault[]] =>
      [`cut in the middle, ${framing}`, [{ kind: 'truncate', afterBytes: 0.5, framing }]]),
    ['reset at once', [{ kind: 'reset', afterBytes: 0 }]],
    ['reset in the middle', [{ kind: 'reset', afterBytes: 0.5 }]],
    ['silent', [{ kind: 'stall', afterBytes: null }]],
    ['silent in the middle', [{ kind: 'stall', afterBytes: 0.5 }]],
    ['slow', [{ kind: 'drip', bytes: 2_000, everyMs: 1 }]],
  ]

  function makeModel(fault: readonly TapFault[]): TapModel {
    const model = new TapModel({ now: () => NOON })
    model.events.supply(new TapTraffic({ seed: 1, perHour: 20 }))
    for (const each of fault) model.faults.set(each)
    return model
  }

  /** What a reader of the answer can hold on to: its status, and all of its text or that it is none. */
  async function outcomeOf(request: HttpRequest, baseUrl: string): Promise<unknown> {
    const url = new URL('/v2/siem/messages/blocked?format=json&interval=PT1H/2026-11-20T12:00:00Z', baseUrl)
    const authorization = `Basic ${Buffer.from('principal:secret').toString('base64')}`
    const response = await request({ url, headers: { authorization }, signal: new AbortController().signal }).catch(() => null)
    if (response === null) return 'no answer'
    const { status, headers } = response
    const body = await text(response.body).catch(() => null)
    const isWhole = body !== null && (status !== 200 || isJson(body))
    return { status, retryAfter: headers['retry-after'] ?? null, body: isWhole ? body : 'not to be used' }
  }

  test.each(faults)('%s', async (_, fault) => {
    const server = await new TapServer({ model: makeModel(fault) }).start()
    onTestFinished(async () => server.stop())
    const client = createHttpClient({ ca: null, timeouts: TIMEOUTS })
    onTestFinished(async () => client.close())
    const machine = new VirtualClock(NOON)
    const model = new ModelApi(makeModel(fault), 1, machine.trueTime)
    const modelled = await machine.run(outcomeOf(model.requestFor(makeLife(machine)), 'https://tap.test'))
    expect(modelled).toEqual(await outcomeOf(client.request, server.baseUrl))
  })
})

describe.each([
  ['a close_notify', behaviours.healthy()],
  ['a bare FIN', behaviours.bareFin()],
] as const)('the model of Devo and a receiver over TLS that ends with %s', (_, endpoint) => {
  const { ids, batches } = batchesOf('a', 200)
  const kinds: [string, DevoBehaviour][] = [
    ['healthy', endpoint],
    ['ends by itself behind the first line', behaviours.endEarly({ lines: 1 })],
    ['the same with a bare FIN', behaviours.endEarly({ lines: 1 }, { ends: 'fin' })],
    ['has read everything and ends by itself', behaviours.endEarly({ lines: ids.length, delayMs: 15 })],
    ['has a backend that closes', behaviours.backendCloses(1)],
    ['is killed after it has read', behaviours.killed({ lines: ids.length })],
    ['resets behind the first line', behaviours.reset({ lines: 1 })],
    ['has read everything, then resets', behaviours.reset({ lines: ids.length, delayMs: 15 })],
    ['never ends', behaviours.neverEnd()],
    ['takes nothing', behaviours.stall()],
    ['is slow', behaviours.slow(500_000)],
  ]
  const TIMES = { quietMs: 60, probeMs: 60, drainTimeoutMs: 1_000 }
  let close: () => Promise<void>
  afterEach(async () => close())

  test.each(kinds)('%s', async (_kind, behaviour) => {
    const world = await makeWorld()
    close = async () => world.close()
    world.receiver.behaviour = endpoint
    world.receiver.nextWithData(behaviour)
    const real = await shipAll(world.sink(TIMES), batches).then(() => true, () => false)

    const machine = new VirtualClock(NOON)
    const life = makeLife(machine)
    let lines = 0
    const devo = new ModelDevo({ seed: 1, machine, endpoint: endpoint.name === 'bare FIN' ? 'fin' : 'close_notify', onLines: (those) => (lines += those.length) })
    const connect = devo.connectFor(life)
    let connections = 0
    // Longer than its way there and back may take.
    const sink = world.sink({ ...TIMES, quietMs: 500, probeMs: 500 }, {
      clock: life.clock,
      connect: async (...args) => {
        connections += 1
        // The first one is the probe.
        if (connections === 2) devo.behave(behaviour, 1, 1)
        return connect(...args)
      },
    })
    const modelled = await machine.run(shipAll(sink, batches).then(() => true, () => false).finally(async () => sink.close()))
    expect(modelled).toBe(real)
    if (real) expect([lines, world.receiver.events]).toEqual([ids.length, ids.length])
  })
})

function isJson(body: string): boolean {
  try {
    return typeof JSON.parse(body) === 'object'
  } catch {
    return false
  }
}
