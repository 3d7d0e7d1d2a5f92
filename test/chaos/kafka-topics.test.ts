import { beforeAll, expect, test } from 'vitest'
import { MINUTE_MS, readableUntil } from '../e2e/world.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { clientOf, makeKafkaWorld } from './kafka-world.ts'

describeKafka('a topic', () => {
  let brokers: readonly string[]
  beforeAll(async () => {
    brokers = await sharedBroker()
  })

  async function deleteTopic(topic: string): Promise<void> {
    const admin = clientOf(brokers).admin()
    await admin.connect()
    await admin.deleteTopics({ topics: [topic] })
    await admin.disconnect()
  }

  test('of the state, deleted while no collector runs, is an error that says what to do, and no fresh start', { timeout: 60_000 }, async () => {
    const world = await makeKafkaWorld({ brokers, perHour: 60 })
    expect((await world.run(['run', '--once'])).code).toBe(0)
    await deleteTopic(`${world.prefix}.state`)
    const { code, stdout } = await world.run(['run', '--once'])
    expect(code).toBe(1)
    expect(stdout).toContain('the state is lost')
    const to = new Date().toISOString()
    const all = ['clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered']
    const reset = (services: readonly string[]) => world.run(['reset', ...services.flatMap((service) => ['--service', service]), '--to', to, '--yes'])
    const one = await reset(all.slice(0, 1))
    expect([one.code, one.stderr]).toEqual([1, expect.stringContaining('naming every service')])
    expect((await world.run(['run', '--once'])).code).toBe(1)
    expect((await reset(all)).code).toBe(0)
    const before = world.arrivals.total
    expect((await world.run(['run', '--once'])).code).toBe(0)
    // The groups still know what was delivered.
    expect(world.arrivals.total).toBe(before)
  })

  test('of the state, deleted under a running collector, is missed; made anew and empty it ends the collector', { timeout: 60_000 }, async () => {
    const world = await makeKafkaWorld({ brokers })
    const collector = world.start(['run'])
    await world.allArrive(readableUntil() - MINUTE_MS)
    await deleteTopic(`${world.prefix}.state`)
    await collector.logged('a topic was deleted')
    expect(await world.run(['status'])).toMatchObject({ code: 3, stderr: expect.stringContaining(`do not exist: ${world.prefix}.state`) as unknown })
    // It makes the topic anew, with create_topics.
    expect(await world.run(['run'])).toMatchObject({ code: 1, stdout: expect.stringContaining('the state is lost') as unknown })
    expect(await collector.end()).toMatchObject({ code: 1, stdout: expect.stringContaining('no longer holds what it held') as unknown })
    expect(await world.topicDifference(0)).toMatchObject({ surplus: 0 })
  })

  test('of the events, deleted under a running collector, is missed; made anew it is said what is lost, and all that is fetched then is kept', { timeout: 90_000 }, async () => {
    const world = await makeKafkaWorld({ brokers })
    const collector = world.start(['run'])
    await world.allArrive(readableUntil() - MINUTE_MS)
    await deleteTopic(`${world.prefix}.events`)
    await collector.logged('a topic was deleted')
    expect(await world.run(['status'])).toMatchObject({ code: 3, stderr: expect.stringContaining(`do not exist: ${world.prefix}.events`) as unknown })
    expect(await collector.stop()).toMatchObject({ code: 0 })
    const second = world.start(['run'])
    await second.logged(`The topic ${world.prefix}.events had been deleted`)
    await second.logged('The data is up to date!')
    const { msg: waits } = await second.logged('Output devo_1 waits for the buffer')
    expect(waits).toContain('the broker has forgotten how far output devo_1 was')
    expect(await second.stop()).toMatchObject({ code: 0 })
    expect(await world.topicDifference(0)).toMatchObject({ surplus: 0 })
  })
})
