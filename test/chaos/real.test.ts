import { spawnSync } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { Random } from '../../src/simulator/tap-random.ts'
import { shownEvents, textOf } from '../e2e/arrivals.ts'
import { makeWorld, MINUTE_MS, type World, type WorldOptions } from '../e2e/world.ts'
import { startProxy } from '../kafka/kafka-proxy.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { expectOnceEach, makeKafkaWorld } from './kafka-world.ts'
import { Ledger } from './real-ledger.ts'
import { TroubledCollector, TROUBLES, type Place, type Trouble } from './real-troubles.ts'

const SEED = Number(process.env.HUNT_SEED ?? 20_261)
/** Of `npm run hunt`: how long the traffic and the troubles go on. A usual run has what lies ready at the start, and each trouble once. */
const MINUTES = Number(process.env.HUNT_MINUTES ?? 0)
/** More of those that cost little, for they come at any moment. */
const MORE_KILLS = 3
const IN_FLIGHT = 4
const MAX_SHIPMENT_EVENTS = 1_000
const DISK_MB = 160

const isLong = MINUTES > 0
const timeout = 120_000 + MINUTES * MINUTE_MS * 1.5

/** What is there at the start can be read at once, so that the short form has to wait for no window. */
const endOfTraffic = (): number => Date.now() + (isLong ? MINUTES * MINUTE_MS : -50_000)

function optionsOf(ledger: Ledger, until: number): WorldOptions {
  return {
    backlogMinutes: 30,
    perHour: 12_000,
    traffic: { seed: SEED, until, late: 0.05, lateByMs: 40_000, nasty: 0.1, twins: 0 },
    configure: ({ globals, outputs }) => {
      // Each failed attempt is told.
      globals.debug = true
      Object.assign(outputs.devo_1 ?? {}, { shipments_in_flight: IN_FLIGHT, max_shipment_events: MAX_SHIPMENT_EVENTS })
      Object.assign(outputs.devo_1?.config ?? {}, { quiet_in_milliseconds: 100, probe_in_milliseconds: 100, drain_timeout_in_seconds: 10 })
    },
    onLine: (line, connection) => ledger.onLine(line, connection),
  }
}

/** Gives the state folder a file system of its own, which can be filled; false where none can be mounted here. */
function mountState({ stateDir }: World): boolean {
  const isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB}m,mode=700`, 'tmpfs', stateDir]).status === 0
  if (isMounted) onTestFinished(() => void spawnSync('umount', ['-l', stateDir]))
  else console.warn('SKIPPED: a full disk, for a file system cannot be mounted here')
  return isMounted
}

/** Trouble after trouble, then none; what has arrived is then compared with what the API has shown. */
async function hunt(place: Place, until: number): Promise<void> {
  const { world, ledger, random, proxy, ownDisk } = place
  const possible = TROUBLES.filter((trouble) => (trouble !== 'Kafka away' || proxy !== null) && (trouble !== 'disk full' || ownDisk))
  const kills = Array.from({ length: proxy === null ? MORE_KILLS : 0 }, (): Trouble => 'kill')
  const plan = random.shuffled([...possible, ...kills])
  const troubled = new TroubledCollector(place)
  const met: Trouble[] = []
  while (isLong ? Date.now() < until : met.length < plan.length) {
    if (!troubled.isRunning) troubled.start()
    // There is a load to be in trouble under.
    if (met.length === 0) await world.receiver.until(() => ledger.events > 500)
    else await wait(200 + random.below(1_800))
    const trouble = plan[met.length] ?? possible[random.below(possible.length)] ?? 'kill'
    if (isLong) process.stderr.write(`${new Date().toISOString()} ${trouble}, ${ledger.events} events so far, ${ledger.doubled} of them doubled\n`)
    await troubled.meet(trouble)
    met.push(trouble)
  }
  const inTrouble = ledger.events
  const last = troubled.endOfTrouble()
  await world.allArrive(until, 70_000).catch((error: unknown) => {
    throw new Error(`behind ${met.join(', ')}:\n${last.stdout.slice(-6_000)}`, { cause: error })
  })
  expect(await last.stop()).toMatchObject({ code: 0 })

  const shown = new Set(shownEvents(world.model).map(textOf))
  expect(world.compare().missing).toEqual([])
  expect([...ledger.texts].filter((text) => !shown.has(text))).toEqual([])
  expect(ledger.tooOften(IN_FLIGHT)).toEqual([])
  expect(ledger.largest).toBeLessThanOrEqual(MAX_SHIPMENT_EVENTS + 100)
  expect(shown.size).toBeGreaterThan(15_000)
  process.stderr.write(`seed ${SEED}: ${shown.size} events, ${inTrouble} of them in trouble, ${ledger.doubled} doubled; ${met.join(', ')}\n`)
}

test(`troubles of all kinds lose nothing, and double no more than what was in flight (embedded buffer, seed ${SEED})`, { timeout }, async () => {
  const ledger = new Ledger()
  const until = endOfTraffic()
  const world = await makeWorld(optionsOf(ledger, until))
  await hunt({ world, ledger, random: new Random(SEED, 'troubles'), proxy: null, ownDisk: mountState(world) }, until)
})

describeKafka('with the kafka buffer', () => {
  test(`troubles of all kinds lose nothing, and double no more than what was in flight (seed ${SEED})`, { timeout }, async () => {
    const [broker = ''] = await sharedBroker()
    // In place of 15 s: a killed one is replaced sooner.
    const proxy = await startProxy(broker, { sessionTimeoutMs: 5_000 })
    const ledger = new Ledger()
    const until = endOfTraffic()
    const world = await makeKafkaWorld({ ...optionsOf(ledger, until), brokers: proxy.brokers, readFrom: [broker] })
    await hunt({ world, ledger, random: new Random(SEED, 'troubles'), proxy, ownDisk: mountState(world) }, until)
    await expectOnceEach(world, until)
  })
})
