import { expect, onTestFinished, test } from 'vitest'
import { openEmbeddedBuffer } from '../../src/buffers/embedded/embedded.ts'
import type { Clock } from '../../src/pipeline/clock.ts'
import { Conditions } from '../../src/pipeline/conditions.ts'
import { Counters } from '../../src/pipeline/counters.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import type { Batch } from '../../src/pipeline/event.ts'
import type { ShipmentContext, Sink } from '../../src/pipeline/sink.ts'
import { supervise } from '../../src/pipeline/supervisor.ts'
import { TapTraffic } from '../../src/simulator/events.ts'
import { TapModel } from '../../src/simulator/tap-model.ts'
import { Random } from '../../src/simulator/tap-random.ts'
import { createTapSources } from '../../src/sources/proofpoint-tap/source.ts'
import { textsOf } from '../contract/buffer-units.ts'
import { requestOverModel } from '../support/tap-over-model.ts'
import { HOUR, inputConfig, MINUTE, SECOND, serviceConfig, START } from '../support/tap-simulation.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { outputTo, silent, temporaryFolder } from './support.ts'

const PROOF_MS = 3 * SECOND
const SHIPMENT_EVENTS = 50
const SHIPMENTS = 4

type Fate = 'healthy' | 'dead' | 'unreachable' | 'slow' | 'stuck'

/** A destination on the virtual clock, which changes its mind. */
class Destination implements Sink {
  readonly maxShipmentsInFlight = SHIPMENTS
  /** What was proven, and when. */
  readonly arrived: (readonly [at: number, event: string])[] = []
  /** The most events that were in its hands at once. */
  mostInHand = 0
  #inHand = 0
  fate: Fate
  readonly #clock: Clock

  constructor(fate: Fate, clock: Clock) {
    this.fate = fate
    this.#clock = clock
  }

  ship({ signal }: ShipmentContext) {
    return async (batches: AsyncIterable<Batch>): Promise<void> => {
      const events: string[] = []
      try {
        if (this.fate === 'stuck') await this.#clock.sleep(HOUR / 2, signal)
        for await (const batch of batches) {
          const texts = textsOf(batch)
          events.push(...texts)
          this.#inHand += texts.length
          this.mostInHand = Math.max(this.mostInHand, this.#inHand)
          if (this.fate === 'slow') await this.#clock.sleep(10 * MINUTE, signal)
        }
        if (this.fate === 'dead') throw new RetryableError('connection reset')
        await this.#clock.sleep(PROOF_MS, signal)
        this.arrived.push(...events.map((event) => [this.#clock.now() - START, event] as const))
      } finally {
        this.#inHand -= events.length
      }
    }
  }

  async check(): Promise<void> {
    await Promise.resolve()
    if (this.fate === 'unreachable') throw new RetryableError('connection refused')
  }

  async close(): Promise<void> {
    await Promise.resolve()
  }
}

/** Three hours of a collector with these outputs; after two of them all are healthy. */
async function threeHours(fates: readonly Fate[]) {
  const virtual = new VirtualClock(START)
  // As a real one has it: a fraction of a millisecond would move windows, which end with a second.
  const clock: Clock = {
    now: virtual.now,
    monotonic: virtual.monotonic,
    sleep: (ms, signal) => virtual.sleep(Math.ceil(ms), signal),
    after: (ms, callback) => virtual.after(Math.ceil(ms), callback),
  }
  const model = new TapModel({ now: virtual.trueTime })
  model.events.supply(new TapTraffic({ seed: 3, perHour: 300, from: START, until: START + 2 * HOUR }))
  const buffer = await openEmbeddedBuffer({
    dir: await temporaryFolder(), retentionMs: 24 * HOUR, maxSizeBytes: 1e9, clock, log: silent, inThread: true,
  })
  onTestFinished(() => buffer.close())
  const [conditions, counters, stop, random] = [new Conditions(virtual.now), new Counters(), new AbortController(), new Random(1, 'jitter')]
  const sources = await createTapSources([inputConfig({ services: [serviceConfig('clicksBlocked'), serviceConfig('messagesBlocked')] })], {
    clock, log: silent, quotaLog: buffer, conditions, counters, request: requestOverModel(model, clock), random: () => random.next(),
  })
  const destinations = fates.map((fate) => new Destination(fate, clock))
  const outputs = destinations.map((sink, index) => ({ ...outputTo(`${fates[index] ?? ''}_${index}`, sink), maxShipmentEvents: SHIPMENT_EVENTS, shipmentsInFlight: SHIPMENTS }))
  const running = supervise({ sources, outputs, buffer, clock, log: silent, conditions, counters, stop: stop.signal, once: false })
  running.catch(() => undefined) // told below
  await virtual.advance(2 * HOUR)
  const waiting = conditions.list().map(({ part }) => part)
  const inTrouble = destinations.map(({ arrived }) => arrived.length)
  for (const destination of destinations) destination.fate = 'healthy'
  await virtual.advance(HOUR)
  const { outputs: shown } = await buffer.snapshot()
  stop.abort(new Error('seen enough'))
  await virtual.run(running)
  await Promise.all(sources.map((source) => source.close()))
  const texts = destinations.map(({ arrived }) => arrived.map(([, event]) => event).sort())
  return { destinations, texts, waiting, inTrouble, backlogs: shown.map(({ backlogEvents }) => backlogEvents) }
}

/** By how much the events came later than in the other run, at most; milliseconds. */
function worstDelay({ arrived }: Destination, { arrived: before }: Destination): number {
  const times = new Map(before.map(([at, event]) => [event, at]))
  return Math.max(...arrived.map(([at, event]) => at - (times.get(event) ?? Infinity)))
}

test('outputs that are dead, slow, stuck or set up wrongly delay neither another one nor the fetching, and get everything once later', async () => {
  const lone = await threeHours(['healthy'])
  const among = await threeHours(['dead', 'healthy', 'slow', 'unreachable', 'stuck'])
  const [expected = []] = lone.texts
  const [alone, beside] = [lone.destinations[0], among.destinations[1]]
  if (alone === undefined || beside === undefined) throw new Error('there is none')
  expect(new Set(expected).size).toBeGreaterThan(1_000)
  // Timers of the others may come in the middle of its work.
  expect(worstDelay(beside, alone)).toBeLessThan(SECOND)
  expect(among.waiting).toEqual(expect.arrayContaining(['dead_0', 'unreachable_3']))
  expect(among.waiting).not.toContain('healthy_1')
  const [dead, healthy, slow, unreachable] = among.inTrouble
  expect([dead, unreachable]).toEqual([0, 0])
  expect(slow).toBeLessThan((healthy ?? 0) / 2)
  // One line for each, not thousands of events.
  expect(among.texts.map((texts) => JSON.stringify(texts) === JSON.stringify(expected))).toEqual([true, true, true, true, true])
  expect(among.backlogs).toEqual([0, 0, 0, 0, 0])
  // What waits is in the buffer and not in memory.
  for (const { mostInHand } of among.destinations) expect(mostInHand).toBeLessThanOrEqual(SHIPMENTS * SHIPMENT_EVENTS)
})
