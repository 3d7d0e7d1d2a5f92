import { expect } from 'vitest'
import { withoutAdded } from './arrivals.ts'
import type { World } from './world.ts'

/** All events in the buffer, as an output gets them that is added now and begins with the oldest. */
export async function buffered(world: World): Promise<string[]> {
  await world.configure(({ outputs }) => {
    outputs.all = { type: 'console', config: { format: 'ndjson' }, start_from: 'oldest' }
  })
  const { code, stdout, stderr } = await world.run(['run', '--once'])
  expect(code, stderr).toBe(0)
  return stdout.split('\n').filter((line) => line !== '').map(withoutAdded)
}
