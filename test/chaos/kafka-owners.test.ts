import { expect, test } from 'vitest'
import type { Collector } from '../e2e/collector.ts'
import { MINUTE_MS, readableUntil } from '../e2e/world.ts'
import { PRODUCE, startProxy } from '../kafka/kafka-proxy.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { atRequest, expectOnceEach, makeKafkaWorld } from './kafka-world.ts'

describeKafka('two collectors with one configuration and one folder', () => {
  test('one reads; stopped in mid-transaction it is replaced, wakes without writing, and replaces the other that is killed', { timeout: 90_000 }, async () => {
    const broker = (await sharedBroker())[0] ?? ''
    const proxy = await startProxy(broker, { sessionTimeoutMs: 5_000 })
    const world = await makeKafkaWorld({ brokers: proxy.brokers, readFrom: [broker] })
    const both = [world.start(['run']), world.start(['run'])] as const
    const owner = await Promise.any([standsBy(both[0]).then(() => both[1]), standsBy(both[1]).then(() => both[0])])
    const other = owner === both[0] ? both[1] : both[0]
    await world.allArrive(readableUntil() - MINUTE_MS)
    expect(await roleWhenReady(owner)).toBe('active')
    expect(await roleWhenReady(other)).toBe('standby')

    const stopped = Promise.withResolvers<undefined>()
    atRequest(proxy, PRODUCE, 1, () => {
      owner.kill('SIGSTOP')
      stopped.resolve(undefined)
      return 'pass'
    })
    await stopped.promise
    await other.logged('The data is up to date!')
    owner.kill('SIGCONT')
    await standsBy(owner)

    other.kill('SIGKILL')
    await other.end()
    const before = owner.log.length
    await owner.logged('The data is up to date!', before)
    const until = readableUntil()
    await world.allArrive(until)
    expect(await owner.stop()).toMatchObject({ code: 0 })
    await expectOnceEach(world, until)
  })
})

async function standsBy(collector: Collector): Promise<void> {
  await collector.logged('standing by')
}

/** Who stands by is not ready either before its outputs have been probed, which may be after the other has delivered. */
async function roleWhenReady(collector: Collector): Promise<unknown> {
  const url = `http://127.0.0.1:${await collector.httpPort()}/readyz`
  for (;;) {
    const response = await fetch(url)
    const { role } = (await response.json()) as { readonly role?: unknown } // readiness.ts writes it
    if (response.ok) return role
  }
}
