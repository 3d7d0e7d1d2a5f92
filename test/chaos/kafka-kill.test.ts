import { setTimeout as wait } from 'node:timers/promises'
import { beforeAll, expect, test } from 'vitest'
import { Random } from '../../src/simulator/tap-random.ts'
import { readableUntil } from '../e2e/world.ts'
import { ADD_PARTITIONS_TO_TXN, END_TXN, INIT_PRODUCER_ID, PRODUCE, startProxy, type Fate, type KafkaProxy } from '../kafka/kafka-proxy.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { expectOnceEach, makeKafkaWorld } from './kafka-world.ts'

const SEED = Number(process.env.HUNT_SEED ?? 20_261)
/** `npm run hunt` has more. */
const KILLS = Number(process.env.HUNT_KILLS ?? 5)
const KINDS = [INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, PRODUCE, PRODUCE, END_TXN, END_TXN, END_TXN]

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
      const isAtRequest = random.chance(0.5)
      const moment = isAtRequest ? atRequest(proxy, KINDS[random.below(KINDS.length)] ?? END_TXN, 1 + random.below(6), random.chance(0.5)) : null
      const collector = world.start(['run'])
      await (moment ?? collector.until(() => world.model.log.entries.length > asked, 'the API being asked').then(() => wait(random.below(1_500))))
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

/** Resolves with the given request of its kind, which never gets to the broker (`before`), or has got there and whose answer is lost. */
function atRequest(proxy: KafkaProxy, kind: number, number: number, before: boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  let seen = 0
  proxy.fate = (apiKey): Fate => {
    if (apiKey === kind) seen += 1
    if (seen < number) return 'pass'
    resolve(undefined)
    return before ? 'lose' : 'lose answer'
  }
  return promise
}
