import { beforeAll, expect, test } from 'vitest'
import { expectOnceEach, makeKafkaWorld } from '../chaos/kafka-world.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { readableUntil } from './world.ts'

describeKafka('with the Kafka buffer', () => {
  let brokers: readonly string[]
  beforeAll(async () => {
    brokers = await sharedBroker()
  })

  test('run --once delivers all and leaves each event once in the topic; status and a second run find nothing left', async () => {
    const world = await makeKafkaWorld({ brokers, backlogMinutes: 60, perHour: 400 })
    expect((await world.run(['status'])).stdout).toContain('not started')
    const { code, stdout } = await world.run(['run', '--once'])
    expect(code, stdout).toBe(0)
    const { expected, ...difference } = world.compare(({ createdAt }) => createdAt < readableUntil())
    expect(difference.missing).toEqual([])
    expect(expected).toBeGreaterThan(1000)
    await expectOnceEach(world, readableUntil())
    const status = await world.run(['status', '--json'])
    expect(JSON.parse(status.stdout)).toMatchObject({ outputs: [{ output: 'devo_1', backlog_events: 0, dead_letters: 0 }], buffer: { type: 'kafka' } })
    const before = world.arrivals.total
    expect((await world.run(['run', '--once'])).code).toBe(0)
    await expectOnceEach(world, readableUntil())
    expect(world.arrivals.total - before).toBeLessThan(200)
  })

  test('validate --connect reaches the buffer, and says so where it cannot', async () => {
    const world = await makeKafkaWorld({ brokers, perHour: 0 })
    const good = await world.run(['validate', '--connect'])
    expect(good.stdout).toContain('ok       buffer kafka')
    expect(good.code).toBe(0)
    await world.configure((config) => {
      config.buffer = { type: 'kafka', config: { brokers: ['127.0.0.1:1'], topic_prefix: world.prefix } }
    })
    const bad = await world.run(['validate', '--connect'])
    expect(bad.stdout).toContain('failed   buffer kafka')
    expect(bad.code).toBe(3)
  })
})
