import { describe, expect, it } from 'vitest'
import { TapClient } from '../../../src/sources/proofpoint-tap/client.ts'
import type { TapServiceName } from '../../../src/sources/proofpoint-tap/config.ts'
import { FingerprintTable } from '../../../src/sources/proofpoint-tap/fingerprints.ts'
import { TapPools } from '../../../src/sources/proofpoint-tap/pools.ts'
import { Round } from '../../../src/sources/proofpoint-tap/round.ts'
import { ServerTime } from '../../../src/sources/proofpoint-tap/server-time.ts'
import type { Step } from '../../../src/sources/proofpoint-tap/steps.ts'
import type { OpenWindow, WindowRequest } from '../../../src/sources/proofpoint-tap/window-request.ts'
import { HOUR, inputConfig, MINUTE, SECOND, serviceConfig, START, TapSimulation } from '../../support/tap-simulation.ts'

const NAMES = ['clicksBlocked', 'messagesBlocked'] as const
const STEP: Step = { kind: 'read', window: { from: START, to: START + HOUR }, isLast: false }

interface Setup {
  readonly simulation: TapSimulation
  readonly round: Round
  readonly request: (name: TapServiceName, changes?: Partial<WindowRequest>) => WindowRequest
}

function setUp(): Setup {
  const services = NAMES.map((name) => serviceConfig(name))
  const input = inputConfig({ services, endpointMode: 'combined' })
  const simulation = new TapSimulation([input], { now: START + 2 * HOUR })
  const { clock, log, buffer, counters, request } = simulation
  const pools = new TapPools([input], { clock, log, quotaLog: buffer })
  const client = new TapClient(input, { clock, request, pools, time: new ServerTime(clock), counters })
  return {
    simulation,
    round: new Round(NAMES, { input, client, clock }),
    request: (name, changes = {}) => ({
      service: serviceConfig(name), signal: new AbortController().signal, step: STEP, arraysOf: () => [name], isCaughtUp: true, freshest: () => changes.step ?? STEP, sent: () => undefined,
      answered: () => ({ pull: { inputId: '12345', service: name, pulledAt: 0, environment: null }, seen: new FingerprintTable([]) }),
      onWait: () => undefined, ...changes,
    }),
  }
}

async function readAll(opened: OpenWindow): Promise<number> {
  let events = 0
  for (let part = await opened.next(); part !== null; part = await opened.next()) events += part.events
  await opened.close()
  return events
}

describe('a round', () => {
  it('sends one request when all have come, and gives each its own array', async () => {
    const { simulation, round, request } = setUp()
    for (let index = 0; index < 3; index += 1) simulation.model.events.add({ service: NAMES[Number(index > 0)] ?? NAMES[0], createdAt: START + index * MINUTE, content: { index } })
    const first = round.open(request('clicksBlocked'))
    await simulation.clock.advance(MINUTE)
    expect(simulation.model.log.entries).toHaveLength(0)
    const second = round.open(request('messagesBlocked'))
    expect(await Promise.all([readAll(await first), readAll(await second)])).toEqual([1, 2])
    expect(simulation.model.log.entries.map(({ path }) => path)).toEqual(['/v2/siem/all'])
  })

  it('does not wait for one who leaves', async () => {
    const { simulation, round, request } = setUp()
    const waiting = round.open(request('clicksBlocked'))
    round.leave('messagesBlocked')
    expect(await readAll(await waiting)).toBe(0)
    expect(simulation.model.log.entries.map(({ path }) => path)).toEqual(['/v2/siem/clicks/blocked'])
  })

  it('lets go of one who is at another place, and asks for each at once', async () => {
    const { simulation, round, request } = setUp()
    const window = { from: START + HOUR, to: START + 90 * MINUTE }
    const opened = [round.open(request('clicksBlocked')), round.open(request('messagesBlocked', { step: { ...STEP, window } }))]
    for (const one of opened) await readAll(await one)
    expect(simulation.model.log.entries.map(({ path }) => path).sort()).toEqual(['/v2/siem/clicks/blocked', '/v2/siem/messages/blocked'])
  })

  it.each(['before the request', 'while the answer comes'])('goes on for the others where one gives up %s', async (when) => {
    const { simulation, round, request } = setUp()
    for (let index = 0; index < 25_000; index += 1) simulation.model.events.add({ service: 'messagesBlocked', createdAt: START + index * 100, content: { index } })
    const stop = new AbortController()
    const gone = round.open(request('clicksBlocked', { signal: stop.signal }))
    const stays = round.open(request('messagesBlocked'))
    if (when.includes('answer')) await gone
    stop.abort(new Error('stopped'))
    if (when.includes('request')) await expect(gone).rejects.toThrow('stopped')
    else await expect((await gone).next()).rejects.toThrow('no longer read')
    expect(await readAll(await stays)).toBe(25_000)
  })

  it('loses nothing to one who reads slowly', async () => {
    const { simulation, round, request } = setUp()
    for (const service of NAMES) for (let index = 0; index < 25_000; index += 1) simulation.model.events.add({ service, createdAt: START + index * 100, content: { service, index } })
    const opened = await Promise.all(NAMES.map((name) => round.open(request(name))))
    const read = async (window: OpenWindow, pauseMs: number): Promise<number> => {
      let events = 0
      for (let part = await window.next(); part !== null; part = await window.next()) {
        events += part.events
        if (pauseMs > 0) await simulation.clock.sleep(pauseMs)
      }
      return events
    }
    expect(await simulation.clock.run(Promise.all(opened.map((window, index) => read(window, index === 0 ? 10 * SECOND : 0))))).toEqual([25_000, 25_000])
  })
})
