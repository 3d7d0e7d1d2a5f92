import { expect, it } from 'vitest'
import { Conditions } from '../../src/pipeline/conditions.ts'
import { Counters } from '../../src/pipeline/counters.ts'
import { deliver } from '../../src/pipeline/deliver.ts'
import { openShares } from '../contract/buffer-units.ts'
import { hurried, ModelSink, openBuffer, silent, temporaryFolder, unit } from './support.ts'

/** The one interleaving in which a stop could lose events: a retry that is cut short before the end of its first attempt, with a proven successor. */
it('does not cut a retry short: what lies between its end and the proven successor would never be sent', async () => {
  const dir = await temporaryFolder()
  const buffer = await openBuffer(dir)
  const stop = new AbortController()
  const never = new AbortController().signal
  const successorProven = Promise.withResolvers<undefined>()
  const retrying = Promise.withResolvers<undefined>()
  let attempts = 0
  const sink = new ModelSink({
    behave: async (names) => {
      if (names.includes('d')) {
        successorProven.resolve(undefined)
        return
      }
      attempts += 1
      if (attempts > 1) return
      await successorProven.promise
      retrying.resolve(undefined)
      throw new Error('reset')
    },
  })
  const read = buffer.read.bind(buffer)
  buffer.read = (output, range) => {
    // The stop comes while the retry reads.
    if (range.to !== undefined) queueMicrotask(() => stop.abort(new Error('SIGTERM')))
    return read(output, range)
  }
  const run = async (stopSignal: AbortSignal, drain: AbortSignal): Promise<void> => {
    const cursor = (await openShares(buffer, [{ name: 'devo_1', startFrom: 'oldest' }])).get('devo_1')?.cursor ?? ''
    await deliver({
      output: 'devo_1',
      sink,
      buffer,
      cursor,
      transforms: [],
      shipmentsInFlight: 4,
      maxShipmentEvents: 3,
      maxShipmentBytes: 1e6,
      clock: hurried,
      log: silent,
      conditions: new Conditions(() => Date.now()),
      counters: new Counters(),
      stop: stopSignal,
      abort: never,
      drain,
    })
  }
  await buffer.append(unit([['a'], ['b'], ['c'], ['d'], ['e'], ['f']]))
  await run(stop.signal, never)
  await retrying.promise
  await run(never, AbortSignal.abort())
  expect(new Set(sink.arrived)).toEqual(new Set(['a', 'b', 'c', 'd', 'e', 'f']))
})
