import { expect, test } from 'vitest'
import { shownEvents, textOf } from './arrivals.ts'
import { buffered } from './buffered.ts'
import { makeWorld, readableUntil } from './world.ts'

test('one service brings permitted clicks and delivered messages, each to its own table and once, also across kills', async () => {
  const world = await makeWorld({
    traffic: { until: readableUntil() },
    configure: ({ inputs }) => {
      for (const input of Object.values(inputs)) input.services = { issues: { ...input.services.clicksPermitted } }
    },
  })
  for (let kill = 0; kill < 2; kill += 1) {
    const killed = world.start(['run'])
    await killed.logged('The data is up to date!')
    killed.kill('SIGKILL')
    await killed.end()
  }
  const events = await buffered(world)
  const { missing, expected } = world.compare()
  expect(missing).toEqual([])
  expect(expected).toBeGreaterThan(100)
  expect(new Set(world.lines.map((line) => / (mail\.\S+): /.exec(line)?.[1]))).toEqual(
    new Set(['mail.proofpoint.tapsiem_v2.clickspermitted', 'mail.proofpoint.tapsiem_v2.messagesdelivered']),
  )
  expect(new Set(world.model.log.entries.map(({ path }) => path))).toEqual(new Set(['/v2/siem/issues']))
  const state: unknown = JSON.parse((await world.run(['status', '--json'])).stdout)
  expect(state).toMatchObject({ services: [{ service: 'issues', holes: [], gaps: [] }], pools: [{ pool: 'siem' }] })
  expect(events.sort()).toEqual(shownEvents(world.model).map((event) => textOf(event).replace(/^\w+ /, '')).sort())
})
