import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import { INPUT, readShipment, SERVICE } from '../../contract/buffer-units.ts'
import { startChild } from './child.ts'
import { optionsFor, temporaryFolder } from './fixtures.ts'

test('kill -9 at random moments: every unit is there whole, with its position, or not at all', async () => {
  const dir = temporaryFolder()
  let last = 0
  for (let round = 0; round < 6; round += 1) {
    const child = await startChild('append', dir)
    // The moment of the kill is what is random here; nothing waits for this time to be enough.
    await sleep(20 + Math.random() * 150)
    await child.kill()
    let said = last
    for (let line = await child.lines.next(); line.done !== true; line = await child.lines.next()) {
      const n = /^appended (\d+)$/.exec(line.value)?.[1]
      if (n !== undefined) said = Number(n)
    }
    const buffer = await openEmbeddedBuffer(optionsFor(dir))
    try {
      const { events } = await readShipment(buffer, 'devo', '0')
      const settled = (await buffer.loadService(INPUT, SERVICE))?.settled ?? 0
      const { services, sourceDeadLetters, outputs } = await buffer.snapshot()
      const wanted = Array.from({ length: settled }, (_, n) => Array.from({ length: 1 + (n % 5) }, (_, chunk) => Array.from({ length: 20 }, (_, i) => n * 1000 + chunk * 100 + i)))
      expect(events.map((event) => Number(/^\{"n":(\d+),/.exec(event)?.[1]))).toEqual(wanted.flat(2))
      expect(sourceDeadLetters).toBe(settled)
      expect(services[0]?.gaps.length ?? 0).toBe(settled)
      expect(outputs[0]?.backlogEvents).toBe(events.length)
      // What was reported as durable is there; at most the one unit in the air may be as well.
      expect(settled).toBeGreaterThanOrEqual(said)
      expect(settled).toBeLessThanOrEqual(said + 1)
      last = settled
    } finally {
      await buffer.close()
    }
  }
  expect(last).toBeGreaterThan(8)
})
