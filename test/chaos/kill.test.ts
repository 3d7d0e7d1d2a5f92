import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { behaviours, type DevoBehaviour } from '../../src/simulator/devo-behaviours.ts'
import { Random } from '../../src/simulator/tap-random.ts'
import { makeWorld, MINUTE_MS } from '../e2e/world.ts'

const SEED = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 1e6))
const KILLS = 20
const IN_FLIGHT = 4
const MAX_SHIPMENT_EVENTS = 1_000

/** A connection that may end in any way but the good one, and what it did. */
function faulty(random: Random): DevoBehaviour {
  const lines = random.below(300)
  const all = [behaviours.reset({ lines }), behaviours.endEarly({ lines }), behaviours.killed({ lines }), behaviours.endEarly('at once'), behaviours.endEarly({ lines }, { ends: 'fin' })]
  return all[random.below(all.length)] ?? behaviours.healthy()
}

/**
 * Twenty times killed with -9 under load and with faults on both sides. Every event must arrive, and what comes twice must have been in
 * flight at a kill, or on a connection that failed: a shipment's slot is free only when its cursor is saved, so of the connections that had
 * ended well at most IN_FLIGHT may come again.
 */
test('kill -9 at any moment loses nothing, and doubles no more than what was in flight', { timeout: 120_000 }, async () => {
  process.stderr.write(`kill.test.ts: CHAOS_SEED=${SEED}\n`)
  const random = new Random(SEED, 'kills')
  const until = Date.now() + 5_000
  /** By event: the connections that have brought it, in order. */
  const receptions = new Map<string, number[]>()
  const failed = new Set<number>()
  const lineCounts = new Map<number, number>()
  const world = await makeWorld({
    backlogMinutes: 60,
    perHour: 9_000,
    traffic: { seed: SEED, until, late: 0.05, lateByMs: MINUTE_MS, nasty: 0.1, twins: 0 },
    configure: ({ outputs }) => {
      Object.assign(outputs.devo_1 ?? {}, { shipments_in_flight: IN_FLIGHT, max_shipment_events: MAX_SHIPMENT_EVENTS })
      Object.assign(outputs.devo_1?.config ?? {}, { quiet_in_milliseconds: 100, probe_in_milliseconds: 100 })
    },
    onLine: ({ text }, connection) => {
      lineCounts.set(connection, (lineCounts.get(connection) ?? 0) + 1)
      const before = receptions.get(text)
      if (before === undefined) receptions.set(text, [connection])
      else before.push(connection)
    },
  })
  world.receiver.behaviour = (number) => {
    if (!random.chance(0.1)) return behaviours.healthy()
    failed.add(number)
    return faulty(random)
  }
  const { faults } = world.model
  faults.set({ kind: 'status', status: 503, probability: 0.03 })
  faults.set({ kind: 'truncate', afterBytes: 0.7, framing: 'chunked', probability: 0.03 })
  faults.set({ kind: 'reset', afterBytes: 0.4, probability: 0.03 })
  faults.set({ kind: 'html', probability: 0.02 })

  /** The first connection of each life that was killed, and of the last one. */
  const lives: number[] = []
  for (let kill = 0; kill < KILLS; kill += 1) {
    lives.push(world.receiver.connections.secured + 1)
    const collector = world.start(['run'])
    await wait(200 + random.below(2_200))
    collector.kill('SIGKILL')
    // In the same moment, so before anything that the kill does to them can be seen here.
    for (const number of world.receiver.openNumbers) failed.add(number)
    expect(await collector.end()).toMatchObject({ code: null, signal: 'SIGKILL' })
    await world.receiver.until(() => world.receiver.openConnections === 0)
  }
  const arrivedBefore = world.arrivals.total
  lives.push(world.receiver.connections.secured + 1)
  faults.clear()
  world.receiver.behaviour = behaviours.healthy()
  const last = world.start(['run'])
  await world.allArrive(until, 70_000)
  expect(await last.stop()).toMatchObject({ code: 0 })

  const { missing, expected } = world.compare()
  expect(missing).toEqual([])
  expect(expected).toBeGreaterThan(30_000)
  // There was a load to be killed under, and something left to do for most of the lives.
  expect(arrivedBefore).toBeGreaterThan(2_000)

  const comeAgain = new Map<number, Set<number>>()
  let doubled = 0
  for (const connections of receptions.values()) {
    for (const connection of connections.slice(0, -1)) {
      doubled += 1
      if (failed.has(connection)) continue
      const life = lives.findLastIndex((first) => connection >= first)
      comeAgain.set(life, (comeAgain.get(life) ?? new Set()).add(connection))
    }
  }
  for (const [life, connections] of comeAgain) {
    expect(life, 'the last life was not killed, so nothing of it may come again').toBeLessThan(KILLS)
    expect(connections.size, `of life ${life}`).toBeLessThanOrEqual(IN_FLIGHT)
  }
  for (const [connection, count] of lineCounts) expect(count, `connection ${connection}`).toBeLessThanOrEqual(MAX_SHIPMENT_EVENTS + 100)
  process.stderr.write(`kill.test.ts: ${expected} events, ${doubled} of them doubled, over ${KILLS} kills and ${failed.size} connections that failed\n`)
})
