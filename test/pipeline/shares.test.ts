import { once } from 'node:events'
import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import type { EventBuffer, OutputShare } from '../../src/pipeline/buffer.ts'
import { Conditions } from '../../src/pipeline/conditions.ts'
import { FatalError, RetryableError } from '../../src/pipeline/errors.ts'
import { ModelSink, openBuffer, outputTo, superviseWith, temporaryFolder, unit } from './support.ts'

interface Dealt {
  readonly ending: AbortController
  readonly lost: AbortController
  /** What the output had committed, as far as the buffer knows, when the share was given back; null: not yet. */
  backlogAtRelease: number | null
}

/** Shares that the test takes away, and what became of them. */
function dealShares(buffer: EventBuffer): Dealt[] {
  const shares: Dealt[] = []
  const take = buffer.takeShare.bind(buffer)
  buffer.takeShare = async (output, signal): Promise<OutputShare> => {
    const last = shares.at(-1)
    if (last?.backlogAtRelease === null) throw new Error('the share before was not given back')
    const dealt: Dealt = { ending: new AbortController(), lost: new AbortController(), backlogAtRelease: null }
    const share = await take(output, signal)
    shares.push(dealt)
    return {
      ...share,
      ending: dealt.ending.signal,
      lost: dealt.lost.signal,
      release: async () => {
        dealt.backlogAtRelease = (await buffer.snapshot()).outputs.find(({ name }) => name === output)?.backlogEvents ?? -1
      },
    }
  }
  return shares
}

async function bufferWith(chunks: readonly (readonly string[])[], output = 'devo_1'): Promise<EventBuffer> {
  const buffer = await openBuffer(await temporaryFolder())
  await buffer.openOutputs([{ name: output, startFrom: 'oldest' }])
  await buffer.append(unit(chunks))
  return buffer
}

test('of a share that ends, what is in flight is proven and committed before it is given back; nothing comes twice', async () => {
  const buffer = await bufferWith([['a'], ['b'], ['c'], ['d']])
  const shares = dealShares(buffer)
  const sink = new ModelSink({
    behave: async (names) => {
      if (!names.includes('a')) return
      shares[0]?.ending.abort(new Error('a collector was added'))
      // Proven later than the share began to end.
      await new Promise((resolve) => setImmediate(resolve))
    },
  })
  await superviseWith({ buffer, outputs: [{ ...outputTo('devo_1', sink), maxShipmentEvents: 1, shipmentsInFlight: 1 }] })
  expect(sink.arrived).toEqual(['a', 'b', 'c', 'd'])
  expect(shares.map(({ backlogAtRelease }) => backlogAtRelease)).toEqual([3, 0])
})

test('of a share that is lost, what is in flight is given up and comes again', async () => {
  const buffer = await bufferWith([['a'], ['b']])
  const shares = dealShares(buffer)
  let attempts = 0
  const sink = new ModelSink({
    behave: async (_names, { signal }) => {
      attempts += 1
      if (attempts > 1) return
      const aborted = once(signal, 'abort')
      shares[0]?.lost.abort(new Error('the group has given it to another'))
      await aborted
      throw signal.reason
    },
  })
  await superviseWith({ buffer, outputs: [outputTo('devo_1', sink)] })
  expect(sink.shipped).toEqual([['a', 'b'], ['a', 'b']])
  expect(sink.arrived).toEqual(['a', 'b'])
  expect(shares.map(({ backlogAtRelease }) => backlogAtRelease)).toEqual([2, 0])
})

test('a share that is lost while a shipment fails again and again is given back', async () => {
  const buffer = await bufferWith([['a']])
  const shares = dealShares(buffer)
  let attempts = 0
  const sink = new ModelSink({
    behave: (names) => {
      attempts += names.length
      if (attempts === 3) shares[0]?.ending.abort(new Error('a collector was added'))
      if (shares.length === 1) throw new Error('connection refused')
    },
  })
  await superviseWith({ buffer, outputs: [outputTo('devo_1', sink)] })
  expect(sink.arrived).toEqual(['a'])
  expect([shares.length, attempts]).toEqual([2, 4])
})

test('a share with nothing in it waits until it ends; the next one may have something', async () => {
  const buffer = await bufferWith([['a']])
  const shares = dealShares(buffer)
  const waiting = Promise.withResolvers<undefined>()
  const wait = buffer.waitBeyond.bind(buffer)
  buffer.waitBeyond = async (output, cursor, signal) => {
    if (shares.length > 1) return wait(output, cursor, signal)
    waiting.resolve(undefined)
    await once(signal, 'abort')
    throw signal.reason
  }
  const stop = new AbortController()
  const sink = new ModelSink()
  const running = superviseWith({ buffer, outputs: [outputTo('devo_1', sink)], once: false, stop: stop.signal })
  await waiting.promise
  expect(sink.shipped).toEqual([])
  shares[0]?.ending.abort(new Error('a collector has gone'))
  await vi.waitFor(() => expect(sink.arrived).toEqual(['a']))
  stop.abort(new Error('SIGTERM'))
  await running
  expect(shares.length).toBe(2)
})

test('a share that cannot be had now is a condition of its output, told once and asked for again; the others go on', async () => {
  const buffer = await bufferWith([['a']], 'healthy')
  const take = buffer.takeShare.bind(buffer)
  const healthy = new ModelSink()
  const waiting = new ModelSink()
  const conditions = new Conditions(() => 0)
  const listed: unknown[] = []
  let asked = 0
  buffer.takeShare = async (output, signal) => {
    if (output === 'healthy') return take(output, signal)
    asked += 1
    listed.push(conditions.list().filter(({ part }) => part === 'waiting/buffer'))
    if (asked < 10 || healthy.arrived.length === 0) throw new RetryableError('no broker answers')
    return take(output, signal)
  }
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  await superviseWith({ buffer, outputs: [{ ...outputTo('waiting', waiting), startFrom: 'oldest' }, outputTo('healthy', healthy)], conditions, log })
  expect([healthy.arrived, waiting.arrived]).toEqual([['a'], ['a']])
  expect(listed.slice(0, 2)).toEqual([[], [{ part: 'waiting/buffer', code: 'OutputWaitsForBuffer', reason: 'no broker answers', since: 0 }]])
  expect(conditions.list()).toEqual([])
  expect(lines.filter((line) => line.includes('Output waiting waits for the buffer: no broker answers'))).toHaveLength(1)
  expect(lines.filter((line) => line.includes('Output waiting has the buffer again'))).toHaveLength(1)
})

test('a share that can never be had ends the run with its error', async () => {
  const buffer = await bufferWith([['a']])
  buffer.takeShare = async () => {
    throw new FatalError('not authorized for the group')
  }
  await expect(superviseWith({ buffer, outputs: [outputTo('devo_1', new ModelSink())], once: false })).rejects.toThrow('not authorized for the group')
})

test('with once, the rest is delivered share by share, and the run ends with everything committed', async () => {
  const buffer = await bufferWith(Array.from('abcdefgh', (name) => [name]))
  const shares = dealShares(buffer)
  const sink = new ModelSink({ behave: (names) => (names.some((name) => 'aceg'.includes(name)) ? shares.at(-1)?.ending.abort(new Error('dealt anew')) : undefined) })
  await superviseWith({ buffer, outputs: [{ ...outputTo('devo_1', sink), maxShipmentEvents: 2 }] })
  expect(new Set(sink.arrived)).toEqual(new Set('abcdefgh'))
  expect(sink.arrived).toHaveLength(8)
  expect(shares.length).toBeGreaterThan(1)
  expect(shares.at(-1)?.backlogAtRelease).toBe(0)
})

test('what an output has missed is told where its share is taken', async () => {
  const buffer = await bufferWith([['a']])
  const take = buffer.takeShare.bind(buffer)
  buffer.takeShare = async (output, signal) => ({ ...(await take(output, signal)), missedEvents: 7 })
  const lines: string[] = []
  const log = pino({ level: 'error' }, { write: (line: string) => void lines.push(line) })
  await superviseWith({ buffer, outputs: [outputTo('devo_1', new ModelSink())], log })
  expect(lines).toHaveLength(1)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ output: 'devo_1', missedEvents: 7 })
  expect(lines[0]).toContain('7 events it had not yet got are gone')
})
