import { setTimeout as wait } from 'node:timers/promises'
import { beforeAll, expect, test } from 'vitest'
import { Random } from '../../src/simulator/tap-random.ts'
import { readableUntil } from '../e2e/world.ts'
import { END_TXN, INIT_PRODUCER_ID, startProxy, type Fate, type KafkaProxy } from '../kafka/kafka-proxy.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { atRequest, expectOnceEach, makeKafkaWorld, STEPS } from './kafka-world.ts'

const SEED = Number(process.env.HUNT_SEED ?? 2)
/** `npm run hunt` has more. */
const KILLS = Number(process.env.HUNT_KILLS ?? 5)

describeKafka('a collector that is killed', () => {
  let broker: string
  beforeAll(async () => {
    broker = (await sharedBroker())[0] ?? ''
  })

  /** Half of the moments are requests of a transaction, just before they get to the broker or just after; the others are any. */
  test(`with -9, ${KILLS} times at random moments (seed ${SEED}), neither loses nor doubles in the topic`, { timeout: 60_000 + KILLS * 12_000 }, async () => {
    const random = new Random(SEED, 'kills')
    const proxy = await startProxy(broker, { sessionTimeoutMs: 5_000 })
    const world = await makeKafkaWorld({ brokers: proxy.brokers, readFrom: [broker] })
    for (let kill = 0; kill < KILLS; kill += 1) {
      const asked = world.model.log.entries.length
      const collector = world.start(['run'])
      if (random.chance(0.5)) await requestOf(proxy, random)
      else await collector.until(() => world.model.log.entries.length > asked, 'the API being asked').then(() => wait(random.below(1_500)))
      collector.kill('SIGKILL')
      expect(await collector.end()).toMatchObject({ signal: 'SIGKILL' })
      proxy.fate = () => 'pass'
    }
    const last = world.start(['run'])
    const until = readableUntil()
    await world.allArrive(until, 60_000)
    expect(await last.stop()).toMatchObject({ code: 0 })
    await expectOnceEach(world, until)
  })
})

/** Resolves with a request of a transaction that never gets to the broker, or has got there and its answer is lost. No later one gets there. */
function requestOf(proxy: KafkaProxy, random: Random): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const step = STEPS[random.below(STEPS.length)] ?? END_TXN
  const fate: Fate = random.chance(0.5) ? 'lose' : 'lose answer'
  atRequest(proxy, step, step === INIT_PRODUCER_ID ? 1 : 1 + random.below(8), () => {
    proxy.fate = () => 'lose'
    resolve(undefined)
    return fate
  })
  return promise
}
