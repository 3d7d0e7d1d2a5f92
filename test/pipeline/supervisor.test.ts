import { Readable } from 'node:stream'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { FatalError } from '../../src/pipeline/errors.ts'
import type { Source } from '../../src/pipeline/source.ts'
import { ModelSink, openBuffer, outputTo, superviseWith, temporaryFolder, unit } from './support.ts'

function source(units: () => Iterable<unknown>): Source {
  return {
    name: 'tap',
    inputId: '12345',
    services: [{ name: 'clicksBlocked', startTime: null }],
    serverTime: () => 0,
    units: () => Readable.from(units(), { objectMode: true, highWaterMark: 1 }),
    check: async () => undefined,
    close: async () => undefined,
  }
}

test('with once, every output gets everything and then it ends', async () => {
  const buffer = await openBuffer(await temporaryFolder())
  const fast = new ModelSink()
  const slow = new ModelSink({ behave: () => new Promise((resolve) => setImmediate(resolve)) })
  await superviseWith({ buffer, sources: [source(() => [unit([['a'], ['b']]), unit([['c']])])], outputs: [outputTo('fast', fast), outputTo('slow', slow)] })
  expect([fast.arrived, slow.arrived]).toEqual([
    ['a', 'b', 'c'],
    ['a', 'b', 'c'],
  ])
})

test('a dead output does not keep a healthy one from its events', async () => {
  const buffer = await openBuffer(await temporaryFolder())
  const stop = new AbortController()
  const healthy = new ModelSink({
    behave: (names) => {
      if (names.includes('b')) stop.abort(new Error('seen enough'))
    },
  })
  const dead = new ModelSink({ behave: () => Promise.reject(new Error('connection refused')) })
  await superviseWith({
    buffer,
    sources: [source(() => [unit([['a']]), unit([['b']])])],
    outputs: [outputTo('dead', dead), outputTo('healthy', healthy)],
    stop: stop.signal,
  })
  expect(healthy.arrived).toEqual(['a', 'b'])
  expect(dead.arrived).toEqual([])
})

test('an error that nothing mends ends everything, with that error', async () => {
  const buffer = await openBuffer(await temporaryFolder())
  const failing = source(function* () {
    yield unit([['a']])
    throw new FatalError('buffer.db is damaged')
  })
  await expect(superviseWith({ buffer, sources: [failing], outputs: [outputTo('devo_1', new ModelSink())], once: false })).rejects.toThrow('buffer.db is damaged')
})

test('an output that is gone with a backlog is told', async () => {
  const buffer = await openBuffer(await temporaryFolder())
  await buffer.openOutputs([{ name: 'devo_1', startFrom: 'oldest' }])
  await buffer.append(unit([['a'], ['b']]))
  const lines: string[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) })
  await superviseWith({ buffer, sources: [source(() => [])], outputs: [outputTo('devo_renamed', new ModelSink())], log })
  expect(lines.join('')).toMatch(/Output devo_1 is not configured or switched off, and 2 events were not delivered to it/)
})
