import { describe, expect, test } from 'vitest'
import { behaviours } from '../../src/simulator/devo-behaviours.ts'
import { makeWorld, MINUTE_MS, type World } from './world.ts'

const until = Date.now() - 2 * MINUTE_MS

/** Starts a run and waits until the receiver holds a connection with events that it does not let end. */
async function startAndGetStuck(world: World) {
  const collector = world.start(['run'])
  await world.receiver.until(() => world.receiver.connections.secured > 1)
  return collector
}

describe('the first signal', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s ends a healthy collector with 0, and what was in flight is proven', async (signal) => {
    const world = await makeWorld({ traffic: { until } })
    const collector = world.start(['run'])
    await world.receiver.until(() => world.receiver.connections.withData > 0)
    const ended = await collector.stop(signal)
    expect(ended).toMatchObject({ code: 0, signal: null })
    expect(ended.stdout).toContain(`${signal}: finishing what is in flight`)
    expect(ended.stdout).toContain('Everything is saved; goodbye')
    // What had been proven does not come again.
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
  })

  test.each([
    ['never ends its side', behaviours.neverEnd()],
    ['takes nothing', behaviours.stall()],
  ])('ends with 0 within 10 s while an output is stuck: it %s', async (_, behaviour) => {
    const world = await makeWorld({
      traffic: { until },
      configure: ({ outputs }) => Object.assign(outputs.devo_1?.config ?? {}, { drain_timeout_in_seconds: 600 }),
    })
    // The probe is answered well.
    world.receiver.next(behaviours.healthy())
    world.receiver.behaviour = behaviour
    const collector = await startAndGetStuck(world)
    const began = performance.now()
    expect(await collector.stop()).toMatchObject({ code: 0, signal: null })
    expect(performance.now() - began).toBeLessThan(10_000)
    world.receiver.disconnectAll('reset')
    world.receiver.behaviour = behaviours.healthy()
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare().missing).toEqual([])
  })

  test('ends with 0 while an output is stuck that has delivered before', async () => {
    const world = await makeWorld({
      traffic: { until },
      configure: ({ outputs }) => Object.assign(outputs.devo_1?.config ?? {}, { drain_timeout_in_seconds: 600 }),
    })
    const collector = world.start(['run'])
    await world.allArrive(until)
    await world.receiver.until(() => world.receiver.openConnections === 0)
    world.receiver.behaviour = behaviours.neverEnd()
    world.add({ service: 'clicksBlocked', createdAt: Date.now() - MINUTE_MS, content: { id: 'in the shipment that is stuck' } })
    await world.allArrive(until)
    const { code, stdout } = await collector.stop()
    expect(stdout).not.toContain('Unexpected error')
    expect(code).toBe(0)
    world.receiver.behaviour = behaviours.healthy()
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare().missing).toEqual([])
  })

  test('ends with 0 while the endpoint refuses connections, and while the API does not answer', async () => {
    const world = await makeWorld({ traffic: { until } })
    world.receiver.refuseConnections()
    world.model.faults.set({ kind: 'stall', afterBytes: null, path: '/v2/siem/clicks/blocked' })
    const collector = world.start(['run'])
    await collector.logged('ECONNREFUSED')
    await world.tap.until(() => world.model.log.entries.some(({ path }) => path === '/v2/siem/clicks/blocked'))
    const began = performance.now()
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(performance.now() - began).toBeLessThan(10_000)
    world.model.faults.clear()
    await world.receiver.acceptConnections()
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
  })
})

describe('the second signal', () => {
  test.each([['SIGTERM', 143], ['SIGINT', 130]] as const)('%s leaves at once with %i', async (signal, code) => {
    const world = await makeWorld({
      traffic: { until },
      configure: ({ outputs }) => Object.assign(outputs.devo_1?.config ?? {}, { drain_timeout_in_seconds: 600 }),
    })
    world.receiver.nextWithData(behaviours.neverEnd())
    const collector = await startAndGetStuck(world)
    collector.kill('SIGTERM')
    await collector.logged('a second signal leaves at once')
    const began = performance.now()
    expect(await collector.stop(signal)).toMatchObject({ code, signal: null })
    expect(performance.now() - began).toBeLessThan(2_000)
  })
})
