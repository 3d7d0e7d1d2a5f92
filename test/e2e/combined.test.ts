import { expect, test } from 'vitest'
import { makeWorld, readableUntil } from './world.ts'

test('one request for all services delivers what four do, byte for byte and once, also across a kill', async () => {
  const until = readableUntil()
  const world = await makeWorld({
    traffic: { until },
    configure: ({ inputs }) => Object.assign(inputs.proofpoint_tap ?? {}, { endpoint_mode: 'combined' }),
  })
  const killed = world.start(['run'])
  await killed.logged('The data is up to date!')
  killed.kill('SIGKILL')
  await killed.end()
  const { code } = await world.run(['run', '--once'])
  expect(code).toBe(0)
  expect(world.compare()).toMatchObject({ missing: [] })
  const paths = world.model.log.entries.map(({ path }) => path)
  // Where the kill came is not known: services that stand apart after it catch up alone first.
  expect(paths).toContain('/v2/siem/all')
  const state: unknown = JSON.parse((await world.run(['status', '--json'])).stdout)
  expect(state).toMatchObject({ services: Array.from({ length: 4 }, () => ({ holes: [], gaps: [] })), pools: [{ pool: 'siem' }, { pool: 'clicks_permitted' }] })
})
