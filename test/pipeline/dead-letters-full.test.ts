import { expect, onTestFinished, test } from 'vitest'
import { openDeadLettersBeside } from '../../src/buffers/embedded/dead-letters.ts'
import { openEmbeddedBuffer } from '../../src/buffers/embedded/embedded.ts'
import { systemClock } from '../../src/pipeline/clock.ts'
import { Conditions } from '../../src/pipeline/conditions.ts'
import { countEvents } from '../../src/pipeline/event.ts'
import { ModelSink, outputTo, silent, superviseWith, temporaryFolder, unit } from './support.ts'

/** Of so small a buffer the three that may have dead letters get a megabyte together. */
const SIZE_BYTES = 10 * 1024 * 1024
const EVENT_BYTES = 10_000
const EVENTS = 100

test('an output with too many dead letters stops and says so, the other goes on; once they are dropped it goes on by itself', async () => {
  const dir = await temporaryFolder()
  const buffer = await openEmbeddedBuffer({ dir, retentionMs: 3_600_000, maxSizeBytes: SIZE_BYTES, clock: systemClock, log: silent, inThread: true })
  onTestFinished(() => buffer.close())
  const names = Array.from({ length: EVENTS }, (_, index) => `${index}-${'x'.repeat(EVENT_BYTES)}`)
  for (const name of names) await buffer.append(unit([[name]]))
  let refuses = true
  const picky = new ModelSink({
    behave: (_names, { reject }, batches) => {
      if (refuses) for (const batch of batches) for (let index = 0; index < countEvents(batch); index += 1) reject(batch, index, 'too long')
    },
  })
  const healthy = new ModelSink()
  const told = Promise.withResolvers<string>()
  const conditions = new Conditions(() => 0)
  const set = conditions.set.bind(conditions)
  conditions.set = (part, reason, details) => {
    if (part === 'picky' && reason.includes('dead letters')) told.resolve(reason)
    return set(part, reason, details)
  }
  const outputs = [outputTo('picky', picky), outputTo('healthy', healthy)].map((output) => ({ ...output, maxShipmentEvents: 5 }))
  const running = superviseWith({ buffer, outputs, conditions })
  running.catch(() => undefined) // told below
  expect(await told.promise).toMatch(/output picky has refused so many events .*goes on by itself: .*"dead-letters drop"/)
  const store = openDeadLettersBeside(dir)
  const ids: number[] = []
  for await (const { id } of store.read()) ids.push(id)
  expect(ids.length).toBeGreaterThan(20)
  expect(ids.length).toBeLessThan(EVENTS / 2)
  refuses = false
  await store.replace(ids, [])
  await store.close()
  await running
  expect(healthy.arrived).toEqual(names)
  const { outputs: shown } = await buffer.snapshot()
  expect(shown.map(({ backlogEvents }) => backlogEvents)).toEqual([0, 0])
  expect(conditions.list()).toEqual([])
})
