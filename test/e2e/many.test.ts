import { expect, test } from 'vitest'
import { shownEvents } from './arrivals.ts'
import { makeWorld } from './world.ts'

const INPUTS = ['прокси', 'Büro Köln', '東京', 'tap 4', '🛰️']

test('five inputs and a hundred outputs, with names in any script, run side by side', async () => {
  const world = await makeWorld({
    perHour: 6,
    configure: (config) => {
      const input = Object.values(config.inputs)[0] ?? { credentials: { username: '', password: '' }, services: {} }
      config.inputs = Object.fromEntries(INPUTS.map((name, index) => [name, { ...input, type: 'proofpoint_tap', id: `ид-${index}-${name}`, endpoint_mode: index % 2 === 0 ? 'combined' : 'auto' }]))
      config.outputs = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`выход ${index}`, { type: 'console', config: { format: 'ndjson' } }]))
    },
  })
  const { code, stdout } = await world.run(['run', '--once'])
  expect(code).toBe(0)
  const events = shownEvents(world.model).length
  expect(events).toBeGreaterThan(10)
  expect(stdout.trimEnd().split('\n')).toHaveLength(events * INPUTS.length * 100)
  const status = await world.run(['status'])
  expect(status.code).toBe(0)
  for (const name of [...INPUTS.map((input) => `${input}/clicksBlocked`), 'выход 99']) expect(status.stdout).toContain(name)
})
