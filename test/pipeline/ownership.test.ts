import { Readable } from 'node:stream'
import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import type { EventBuffer } from '../../src/pipeline/buffer.ts'
import { Conditions } from '../../src/pipeline/conditions.ts'
import { FatalError, RetryableError } from '../../src/pipeline/errors.ts'
import type { Source } from '../../src/pipeline/source.ts'
import { STANDBY, type SupervisorOptions } from '../../src/pipeline/supervisor.ts'
import type { Unit } from '../../src/pipeline/unit.ts'
import { hurried, ModelSink, openBuffer, outputTo, superviseWith, temporaryFolder, unit } from './support.ts'

/** A source of two services that stays open behind its units, and counts how many are being read. */
class OpenSource implements Source {
  readonly name = 'tap'
  readonly inputId = '12345'
  readonly services = ['clicksBlocked', 'clicksPermitted'].map((name) => ({ name, startTime: null }))
  reading = 0
  readonly #units: (round: number) => Iterable<Unit>
  #rounds = 0

  /** The units of the first service, each time that it is read anew. */
  constructor(units: (round: number) => Iterable<Unit>) {
    this.#units = units
  }

  units(service: string, _state: unknown, { signal, once }: { readonly signal: AbortSignal; readonly once: boolean }): Readable {
    this.reading += 1
    const units = service === 'clicksBlocked' ? this.#units((this.#rounds += 1)) : []
    const generate = async function* (): AsyncGenerator<Unit> {
      yield* units
      if (!once) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    }
    return Readable.from(generate(), { objectMode: true, highWaterMark: 1 }).once('close', () => (this.reading -= 1))
  }

  serverTime(): number {
    return 0
  }

  check(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

function run(buffer: EventBuffer, source: Source, sink: ModelSink, options: Partial<SupervisorOptions> = {}): Promise<void> {
  return superviseWith({ buffer, sources: [source], outputs: [outputTo('devo_1', sink)], once: false, ...options })
}

test('inputs that are lost end all reading before they are given back; it stands by, and reads on when they are owned again', async () => {
  const buffer = await openBuffer(await temporaryFolder())
  const stop = new AbortController()
  const lost = new AbortController()
  const again = Promise.withResolvers<undefined>()
  const conditions = new Conditions(() => 0)
  const source = new OpenSource((round) => [unit([[`round ${round}`]])])
  const sink = new ModelSink()
  const readingAtRelease: number[] = []
  let owned = 0
  buffer.ownInputs = async (_signal, onStandby) => {
    owned += 1
    if (owned > 1) {
      onStandby?.()
      await again.promise
    }
    return { lost: owned > 1 ? new AbortController().signal : lost.signal, release: async () => void readingAtRelease.push(source.reading) }
  }
  const running = run(buffer, source, sink, { conditions, stop: stop.signal })
  await vi.waitFor(() => expect([sink.arrived, source.reading]).toEqual([['round 1'], 2]))
  expect(conditions.list()).toEqual([])
  conditions.set('tap/clicksBlocked', 'HTTP 503', { code: 'ApiBroken' })
  conditions.set('tap/clicksBlocked/holes', 'one', { code: 'Hole' })
  conditions.set('tap/clicksBlockedElsewhere', 'stays', { code: 'ApiBroken' })
  lost.abort(new Error('another collector has taken over'))
  await vi.waitFor(() => expect(conditions.list().map(({ part }) => part)).toEqual(['tap/clicksBlockedElsewhere', STANDBY]))
  expect([owned, source.reading, readingAtRelease]).toEqual([2, 0, [0]])
  again.resolve(undefined)
  await vi.waitFor(() => expect([sink.arrived, source.reading]).toEqual([['round 1', 'round 2'], 2]))
  expect(conditions.list().map(({ part }) => part)).toEqual(['tap/clicksBlockedElsewhere'])
  stop.abort(new Error('SIGTERM'))
  await running
  expect(readingAtRelease).toEqual([0, 0])
})

test('who stands by delivers, and a stop ends the waiting', async () => {
  const buffer = await openBuffer(await temporaryFolder())
  await buffer.openOutputs([{ name: 'devo_1', startFrom: 'oldest' }])
  await buffer.append(unit([['a']]))
  const stop = new AbortController()
  buffer.ownInputs = (signal) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true }))
  const source = new OpenSource(() => [])
  const sink = new ModelSink()
  const running = run(buffer, source, sink, { stop: stop.signal })
  await vi.waitFor(() => expect(sink.arrived).toEqual(['a']))
  stop.abort(new Error('SIGTERM'))
  await running
})

test('inputs of which nobody can say whose they are are a condition, told once and asked for again; that is no standing by', async () => {
  const buffer = await openBuffer(await temporaryFolder())
  const stop = new AbortController()
  const conditions = new Conditions(() => 0)
  const lines: string[] = []
  const own = buffer.ownInputs.bind(buffer)
  let asked = 0
  buffer.ownInputs = (signal) => {
    asked += 1
    return asked < 4 ? Promise.reject(new RetryableError('no broker answers')) : own(signal)
  }
  const parts: string[][] = []
  const clock: typeof hurried = {
    ...hurried,
    sleep: (ms, signal) => {
      parts.push(conditions.list().flatMap(({ part }) => (part === 'devo_1' ? [] : [part])))
      return hurried.sleep(ms, signal)
    },
  }
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const sink = new ModelSink()
  const running = run(buffer, new OpenSource(() => [unit([['a']])]), sink, { conditions, clock, log, stop: stop.signal })
  await vi.waitFor(() => expect(sink.arrived).toEqual(['a']))
  expect(parts).toEqual([['inputs'], ['inputs'], ['inputs']])
  expect(conditions.list()).toEqual([])
  expect(lines.filter((line) => line.includes('The inputs wait: no broker answers'))).toHaveLength(1)
  expect(lines.filter((line) => line.includes('The inputs are read again'))).toHaveLength(1)
  stop.abort(new Error('SIGTERM'))
  await running
})

test('with once, inputs that are lost halfway are owned again, and all that is due is delivered before it ends', async () => {
  const buffer = await openBuffer(await temporaryFolder())
  const lost = new AbortController()
  let owned = 0
  buffer.ownInputs = async () => {
    owned += 1
    return { lost: owned === 1 ? lost.signal : new AbortController().signal, release: async () => undefined }
  }
  const append = buffer.append.bind(buffer)
  buffer.append = async (next) => {
    await append(next)
    lost.abort(new Error('another collector has taken over'))
  }
  const sink = new ModelSink()
  await run(buffer, new OpenSource((round) => (round === 1 ? [unit([['a']]), unit([['b']])] : [unit([['b']])])), sink, { once: true })
  expect(owned).toBe(2)
  expect(sink.arrived).toEqual(['a', 'b'])
})

test('with once, inputs that are lost when all was read are not waited for again', async () => {
  const buffer = await openBuffer(await temporaryFolder())
  const lost = new AbortController()
  let owned = 0
  buffer.ownInputs = async () => {
    owned += 1
    return { lost: lost.signal, release: async () => lost.abort(new Error('another collector has taken over')) }
  }
  const sink = new ModelSink()
  await run(buffer, new OpenSource(() => [unit([['a']])]), sink, { once: true })
  expect([owned, sink.arrived]).toEqual([1, ['a']])
})

test('an error that nothing mends gives the inputs back once all reading has ended, and is the error of the run', async () => {
  const buffer = await openBuffer(await temporaryFolder())
  const source = new OpenSource(function* () {
    yield unit([['a']])
    throw new FatalError('buffer.db is damaged')
  })
  const readingAtRelease: number[] = []
  buffer.ownInputs = async () => ({
    lost: new AbortController().signal,
    release: async () => void readingAtRelease.push(source.reading),
  })
  await expect(run(buffer, source, new ModelSink())).rejects.toThrow('buffer.db is damaged')
  expect(readingAtRelease).toEqual([0])
})
