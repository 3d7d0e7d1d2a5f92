import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Random } from '../../src/simulator/tap-random.ts'
import type { Collector } from '../e2e/collector.ts'
import { readableUntil } from '../e2e/world.ts'
import { END_TXN, startProxy, type Fate, type KafkaProxy } from '../kafka/kafka-proxy.ts'
import { describeOwnBroker } from '../support/kafka.ts'
import { startBroker, type TestBroker } from '../support/kafka-broker.ts'
import { atRequest, expectOnceEach, makeKafkaWorld, STEPS, type KafkaWorld } from './kafka-world.ts'

const SEED = Number(process.env.HUNT_SEED ?? 0)
/** Of `npm run hunt`; a usual run of the tests has none. */
const FAULTS = Number(process.env.HUNT_FAULTS ?? 0)
const COLLECTORS = 2
/** In place of 15 s and 30 s: what takes too long happens more often. */
const SHORT = { sessionTimeoutMs: 5_000, transactionTimeoutMs: 3_000 } as const

describeOwnBroker('two collectors and a broker', () => {
  let broker: TestBroker
  beforeAll(async () => {
    broker = await startBroker({ properties: { 'transaction.abort.timed.out.transaction.cleanup.interval.ms': '300' } })
  })
  afterAll(async () => {
    await broker.dispose()
  })

  test.skipIf(FAULTS === 0)(`with ${FAULTS} faults of seed ${SEED} neither lose nor double in the topic`, { timeout: 180_000 + FAULTS * 20_000 }, async () => {
    const random = new Random(SEED, 'faults')
    const proxy = await startProxy(broker.brokers[0] ?? '', SHORT)
    const world = await makeKafkaWorld({ brokers: proxy.brokers, readFrom: broker.brokers })
    const crew = new Crew(world)
    for (let fault = 0; fault < FAULTS; fault += 1) {
      await fillUp(crew, random)
      const told = await oneFault(random, { broker, proxy, crew })
      process.stderr.write(`${fault + 1}: ${told}\n`)
      crew.assertNoneEnded()
    }
    proxy.fate = () => 'pass'
    crew.wake()
    await fillUp(crew, random)
    const until = readableUntil()
    await world.allArrive(until, 120_000)
    await crew.stop()
    await expectOnceEach(world, until)
  })
})

async function fillUp(crew: Crew, random: Random): Promise<void> {
  if (crew.size === 0) crew.start()
  while (crew.size < COLLECTORS && random.chance(0.5)) crew.start()
  await wait(random.below(2_000))
}

interface Place {
  readonly broker: TestBroker
  readonly proxy: KafkaProxy
  readonly crew: Crew
}

/** Does one, and says what it was. */
async function oneFault(random: Random, { broker, proxy, crew }: Place): Promise<string> {
  const ms = random.below(9_000)
  const index = random.below(crew.size)
  switch (random.below(8)) {
    case 0:
      return crew.kill(index)
    case 1:
      return crew.end(index)
    case 2:
      await crew.pause(index, ms)
      return `collector ${index} stopped for ${ms} ms`
    case 3: {
      // It sleeps through what comes next.
      const begun = atNext(proxy, random, () => crew.sleep(index))
      return `collector ${index} sleeps from ${begun}`
    }
    case 4:
      await broker.stop('SIGKILL')
      await broker.start()
      return 'broker killed'
    case 5:
      broker.pause()
      await wait(ms)
      broker.continue()
      return `broker stopped for ${ms} ms`
    case 6: {
      const fate: Fate = random.chance(0.5) ? 'lose' : 'lose answer'
      return `${fate} at ${atNext(proxy, random, () => fate)}`
    }
    default: {
      const killed = Promise.withResolvers<undefined>()
      const step = atNext(proxy, random, async (): Promise<Fate> => {
        await broker.stop('SIGKILL')
        killed.resolve(undefined)
        return 'lose'
      })
      // Nobody may write just now.
      const isKilled = await Promise.race([killed.promise.then(() => true), wait(20_000, false)])
      proxy.fate = () => 'pass'
      if (isKilled) await broker.start()
      return isKilled ? `broker killed at ${step}` : `nobody came to ${step}`
    }
  }
}

function atNext(proxy: KafkaProxy, random: Random, act: () => Fate | Promise<Fate>): string {
  const step = STEPS[random.below(STEPS.length)] ?? END_TXN
  const number = 1 + random.below(5)
  atRequest(proxy, step, number, act)
  return `request ${number} of API ${step}`
}

/** The collectors that run now. */
class Crew {
  readonly #world: KafkaWorld
  readonly #running: Collector[] = []
  readonly #ended = new Set<Collector>()

  constructor(world: KafkaWorld) {
    this.#world = world
  }

  get size(): number {
    return this.#running.length
  }

  start(): void {
    const collector = this.#world.start(['run'])
    this.#running.push(collector)
    void collector.ended.then(() => this.#ended.add(collector))
  }

  async kill(index: number): Promise<string> {
    const [collector] = this.#running.splice(index, 1)
    collector?.kill('SIGKILL')
    await collector?.end()
    return `collector ${index} killed`
  }

  async end(index: number): Promise<string> {
    const [collector] = this.#running.splice(index, 1)
    collector?.kill('SIGCONT')
    // Before it has begun, a signal is answered by the system.
    await collector?.logged('starts: ')
    expect(await collector?.stop()).toMatchObject({ code: 0 })
    return `collector ${index} ended`
  }

  async pause(index: number, ms: number): Promise<void> {
    this.sleep(index)
    await wait(ms)
    this.wake()
  }

  sleep(index: number): 'pass' {
    this.#running[index]?.kill('SIGSTOP')
    return 'pass'
  }

  wake(): void {
    for (const collector of this.#running) collector.kill('SIGCONT')
  }

  assertNoneEnded(): void {
    for (const collector of this.#running) expect(this.#ended.has(collector), collector.stdout.slice(-2_000)).toBe(false)
  }

  async stop(): Promise<void> {
    for (const collector of this.#running) expect(await collector.stop()).toMatchObject({ code: 0 })
  }
}
