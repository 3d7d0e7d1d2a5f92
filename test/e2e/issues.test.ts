import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { shownEvents, textOf } from './arrivals.ts'
import { buffered } from './buffered.ts'
import { makeWorld, readableUntil, type ConfigFile } from './world.ts'

async function expectEachEventOnce({ kills, configure = () => undefined }: { readonly kills: number; readonly configure?: (config: ConfigFile) => void }): Promise<void> {
  const world = await makeWorld({
    traffic: { until: readableUntil() },
    configure: (config) => {
      for (const input of Object.values(config.inputs)) input.services = { issues: { ...input.services.clicksPermitted } }
      configure(config)
    },
  })
  for (let kill = 0; kill < kills; kill += 1) {
    const killed = world.start(['run'])
    await killed.logged('The data is up to date!')
    killed.kill('SIGKILL')
    await killed.end()
  }
  expect(new Set(world.model.log.entries.map(({ path }) => path))).toEqual(new Set(kills > 0 ? ['/v2/siem/issues'] : []))
  const inPlace = async (...names: readonly string[]): Promise<void> =>
    world.configure(({ inputs }) => {
      for (const input of Object.values(inputs)) input.services = Object.fromEntries(names.map((name) => [name, { ...Object.values(input.services)[0] }]))
    })
  await inPlace('clicksPermitted', 'messagesDelivered')
  expect((await world.run(['run', '--once'])).code).toBe(0)
  expect(world.model.log.entries.at(-1)?.path).not.toBe('/v2/siem/issues')
  await inPlace('issues')
  const events = await buffered(world)
  const { missing, expected } = world.compare()
  expect(missing).toEqual([])
  expect(expected).toBeGreaterThan(100)
  expect(new Set(world.lines.map((line) => / (mail\.\S+): /.exec(line)?.[1]))).toEqual(
    new Set(['mail.proofpoint.tapsiem_v2.clickspermitted', 'mail.proofpoint.tapsiem_v2.messagesdelivered']),
  )
  const state: unknown = JSON.parse((await world.run(['status', '--json'])).stdout)
  expect(state).toMatchObject({ services: [{ service: 'issues', holes: [], gaps: [] }], pools: [{ pool: 'siem' }] })
  expect(events.sort()).toEqual(shownEvents(world.model).map((event) => textOf(event).replace(/^\w+ /, '')).sort())
}

test('one service brings permitted clicks and delivered messages, each to its own table and once, also across kills and where the two take its place and give it back', async () => {
  await expectEachEventOnce({ kills: 2 })
})

describeKafka('with the Kafka buffer', () => {
  test('they lie in the topic once each', async () => {
    const brokers = await sharedBroker()
    await expectEachEventOnce({
      kills: 0,
      configure: (config) => {
        config.buffer = { type: 'kafka', config: { brokers, topic_prefix: `t${randomUUID()}`, partitions: 3 } }
      },
    })
  })
})
