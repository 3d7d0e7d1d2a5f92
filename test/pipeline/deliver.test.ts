import { pino } from 'pino'
import { describe, expect, it, vi } from 'vitest'
import { Conditions } from '../../src/pipeline/conditions.ts'
import { Counters } from '../../src/pipeline/counters.ts'
import { deliver, type DeliverOptions } from '../../src/pipeline/deliver.ts'
import { FatalError, RetryableError } from '../../src/pipeline/errors.ts'
import type { EventBuffer } from '../../src/pipeline/buffer.ts'
import { countEvents } from '../../src/pipeline/event.ts'
import type { Transform } from '../../src/pipeline/transform.ts'
import { openShares } from '../contract/buffer-units.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { hurried, ModelSink, namesOf, openBuffer, silent, temporaryFolder, unit } from './support.ts'

async function setUp(sink: ModelSink, change: Partial<DeliverOptions> & { readonly buffer?: EventBuffer } = {}) {
  const buffer = change.buffer ?? (await openBuffer(await temporaryFolder()))
  const opened = await openShares(buffer, [{ name: 'devo_1', startFrom: 'oldest' }])
  const stop = new AbortController()
  const abort = new AbortController()
  const drain = new AbortController()
  const options: DeliverOptions = {
    output: 'devo_1',
    sink,
    buffer,
    cursor: opened.get('devo_1')?.cursor ?? '',
    transforms: [],
    shipmentsInFlight: 4,
    maxShipmentEvents: 2,
    maxShipmentBytes: 1e6,
    clock: hurried,
    log: silent,
    conditions: new Conditions(() => Date.now()),
    counters: new Counters(),
    stop: stop.signal,
    abort: abort.signal,
    drain: drain.signal,
    ...change,
  }
  return { buffer, options, stop, abort, drain }
}

async function backlog(buffer: EventBuffer): Promise<number> {
  return (await buffer.snapshot()).outputs.find(({ name }) => name === 'devo_1')?.backlogEvents ?? -1
}

function bound(target: EventBuffer, name: string | symbol): unknown {
  const value: unknown = Reflect.get(target, name, target)
  return typeof value === 'function' ? value.bind(target) : value
}

const six = [
  ['a', 'b'],
  ['c', 'd'],
  ['e', 'f'],
]

describe('deliver', () => {
  it('ships what is there in pieces and ends when it has been drained', async () => {
    const sink = new ModelSink()
    const { buffer, options, drain } = await setUp(sink)
    await buffer.append(unit(six))
    drain.abort()
    await deliver(options)
    expect(sink.arrived).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
    expect(sink.shipped).toHaveLength(3)
    expect(await backlog(buffer)).toBe(0)
  })

  it('waits for a buffer that is away and goes on by itself', async () => {
    const sink = new ModelSink()
    const { buffer, options, drain } = await setUp(sink)
    let failures = 3
    const waitBeyond: EventBuffer['waitBeyond'] = async (...args) => {
      if (failures-- > 0) throw new RetryableError('the broker is away')
      await buffer.waitBeyond(...args)
    }
    const away = new Proxy(buffer, {
      // Its methods have private members of their own: they are called on the buffer itself.
      get: (target, name) => (name === 'waitBeyond' ? waitBeyond : bound(target, name)),
    })
    await buffer.append(unit(six))
    const delivering = deliver({ ...options, buffer: away })
    await vi.waitFor(() => expect(sink.arrived).toHaveLength(6))
    drain.abort()
    await delivering
    expect(options.conditions.list()).toEqual([])
  })

  it('does not move the cursor before the shipment is proven, and sends a failed one again', async () => {
    const seen: number[] = []
    let failures = 2
    const sink = new ModelSink({
      behave: async () => {
        seen.push(await backlog(buffer))
        if (failures-- > 0) throw new Error('connection reset')
      },
    })
    const { buffer, options, drain } = await setUp(sink, { shipmentsInFlight: 1, maxShipmentEvents: 100 })
    await buffer.append(unit(six))
    drain.abort()
    await deliver(options)
    expect(seen.slice(0, 3)).toEqual([6, 6, 6])
    expect(sink.shipped).toEqual([six.flat(), six.flat(), six.flat()])
    expect(sink.arrived).toEqual(six.flat())
    expect(await backlog(buffer)).toBe(0)
  })

  it('tries again no earlier than the destination said', async () => {
    const waits: number[] = []
    let failures = 3
    const sink = new ModelSink({
      behave: () => {
        if (failures-- > 0) throw new RetryableError('no more for now', failures === 1 ? { retryAfterMs: 90_000 } : {})
      },
    })
    const clock = { ...hurried, sleep: async (ms: number, signal?: AbortSignal) => (waits.push(ms), hurried.sleep(ms, signal)) }
    const { buffer, options, drain } = await setUp(sink, { shipmentsInFlight: 1, clock })
    await buffer.append(unit([['a']]))
    drain.abort()
    await deliver(options)
    expect(sink.arrived).toEqual(['a'])
    expect(waits[1]).toBe(90_000)
    expect(Math.max(waits[0] ?? 0, waits[2] ?? 0)).toBeLessThanOrEqual(4_000)
  })

  it('commits cursors in order: what was proven behind a failing shipment stays uncommitted', async () => {
    const release = Promise.withResolvers<undefined>()
    const others = Promise.withResolvers<undefined>()
    let proven = 0
    const sink = new ModelSink({
      behave: async (names) => {
        if (names.includes('a')) await release.promise
        else if (names.length > 0 && ++proven === 2) others.resolve(undefined)
      },
    })
    const { buffer, options, drain } = await setUp(sink)
    await buffer.append(unit(six))
    drain.abort()
    const done = deliver(options)
    await others.promise
    await new Promise((resolve) => setImmediate(resolve))
    expect(await backlog(buffer)).toBe(6)
    release.resolve(undefined)
    await done
    expect(await backlog(buffer)).toBe(0)
  })

  it('starts no more shipments than allowed while the first one fails', async () => {
    let attempts = 0
    const given = new AbortController()
    const sink = new ModelSink({
      behave: (names) => {
        if (!names.includes('a')) return
        attempts += 1
        if (attempts === 20) given.abort(new Error('given up'))
        throw new Error('refused')
      },
    })
    const { buffer, options } = await setUp(sink, { shipmentsInFlight: 2, abort: given.signal })
    await buffer.append(unit([...six, ['g', 'h'], ['i', 'j']]))
    await deliver(options)
    expect(new Set(sink.shipped.flat())).toEqual(new Set(['a', 'b', 'c', 'd']))
    expect(await backlog(buffer)).toBe(10)
  })

  it('retries with the end of the first attempt, so that it does not overlap the shipment behind it', async () => {
    let failed = false
    const sink = new ModelSink({
      behave: async (names) => {
        if (!names.includes('a') || failed) return
        failed = true
        await buffer.append(unit([['c', 'd']]))
        throw new Error('reset')
      },
    })
    const { buffer, options, drain } = await setUp(sink, { maxShipmentEvents: 100 })
    await buffer.append(unit([['a', 'b']]))
    setImmediate(() => drain.abort())
    await deliver(options)
    expect(sink.arrived.toSorted()).toEqual(['a', 'b', 'c', 'd'])
    expect(sink.shipped.filter((names) => names.includes('a'))).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ])
  })

  it('finishes what is in flight after a stop and begins nothing new', async () => {
    const release = Promise.withResolvers<undefined>()
    const written = Promise.withResolvers<undefined>()
    const sink = new ModelSink({
      behave: async () => {
        written.resolve(undefined)
        await release.promise
      },
    })
    const { buffer, options, stop } = await setUp(sink, { shipmentsInFlight: 1 })
    await buffer.append(unit(six))
    const done = deliver(options)
    await written.promise
    stop.abort(new Error('SIGTERM'))
    release.resolve(undefined)
    await done
    expect(sink.arrived).toEqual(['a', 'b'])
    expect(await backlog(buffer)).toBe(4)
  })

  it('commits nothing of what it had to give up', async () => {
    const written = Promise.withResolvers<undefined>()
    const sink = new ModelSink({
      behave: (_names, { signal }) => {
        written.resolve(undefined)
        return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('given up'))))
      },
    })
    const { buffer, options, stop, abort } = await setUp(sink)
    await buffer.append(unit(six))
    const done = deliver(options)
    await written.promise
    stop.abort(new Error('SIGTERM'))
    abort.abort(new Error('not proven in time'))
    await done
    expect(await backlog(buffer)).toBe(6)
  })

  it('stores refused events as dead letters with the cursor, and delivers the rest', async () => {
    const sink = new ModelSink({
      behave: (_names, { reject }, [first]) => {
        if (first !== undefined) reject(first, 1, 'too large')
      },
    })
    const { buffer, options, drain } = await setUp(sink, { maxShipmentEvents: 100 })
    await buffer.append(unit([['a', 'b', 'c']]))
    drain.abort()
    await deliver(options)
    const [output] = (await buffer.snapshot()).outputs
    expect(output).toMatchObject({ backlogEvents: 0, deadLetters: 1 })
    expect(options.counters.sum('events_delivered_total')).toBe(2)
  })

  it('tells the first refusals at once and adds up those of the minute behind them, however many shipments they come in', async () => {
    const lines: string[] = []
    const log = pino({}, { write: (line: string) => void lines.push(...(/"msg":"(devo_1 refused[^"]*)"/.exec(line)?.slice(1) ?? [])) })
    const sink = new ModelSink({
      behave: (_names, { reject }, batches) => {
        for (const batch of batches) for (let index = 0; index < countEvents(batch); index += 1) reject(batch, index, `no ${namesOf(batch)[index]}`)
      },
    })
    const clock = new VirtualClock(0)
    const { buffer, options, drain } = await setUp(sink, { log, clock })
    await buffer.append(unit([...six, ['g']]))
    const delivering = deliver(options)
    const refused = (count: number) => vi.waitFor(async () => expect((await buffer.snapshot()).outputs[0]?.deadLetters).toBe(count))
    await refused(7)
    await clock.advance(59_000)
    expect(lines).toEqual(['devo_1 refused 2 events for good; they are kept as dead letters: the first of them: no a'])
    await clock.advance(1_000)
    expect(lines.slice(1)).toEqual(['devo_1 refused 5 events for good; they are kept as dead letters: the first of them: no c'])
    await clock.advance(60_000)
    await buffer.append(unit([['h']]))
    await refused(8)
    await buffer.append(unit([['i']]))
    drain.abort()
    await delivering
    expect(lines.slice(2)).toEqual(['h', 'i'].map((name) => `devo_1 refused an event for good; it is kept as a dead letter: no ${name}`))
    expect(clock.pendingTimers).toBe(0)
  })

  it('does not say of a rehearsal that anything is kept', async () => {
    const lines: string[] = []
    const refuseAll: Transform = (batch, reject) => (reject(batch, 0, 'no user'), null)
    const { buffer, options, drain } = await setUp(new ModelSink(), { log: pino({}, { write: (line: string) => void lines.push(line) }), transforms: [refuseAll] })
    await buffer.append(unit([['a']]))
    drain.abort()
    await deliver({ ...options, isDry: true })
    expect(lines.join('')).toContain('devo_1 would refuse an event for good: no user"')
  })

  it('counts what the output has taken by input and service, each event once however often it was sent, and how long that took', async () => {
    let attempts = 0
    const sink = new ModelSink({
      behave: (names, { reject }, [first]) => {
        attempts += 1
        if (attempts === 1) throw new Error('connection reset')
        if (first !== undefined && names.includes('b')) reject(first, 1, 'too large')
      },
    })
    const counters = new Counters()
    const told: unknown[] = []
    counters.tellTo({
      add: () => undefined,
      observe: (name, labels, seconds) => told.push([name, labels, seconds >= 0]),
      note: (name, labels, value) => told.push([name, labels, Math.abs(value - Date.now() / 1_000) < 60]),
    })
    const { buffer, options, drain } = await setUp(sink, { maxShipmentEvents: 100, counters, inputName: (id) => (id === '12345' ? 'tap' : id) })
    await buffer.append(unit([['a', 'b', 'c']]))
    await buffer.append(unit([['d', 'e']], { inputId: '77777', service: 'messagesBlocked' }))
    drain.abort()
    await deliver(options)
    const clicks = { input: 'tap', service: 'clicksBlocked', output: 'devo_1' }
    const messages = { input: '77777', service: 'messagesBlocked', output: 'devo_1' }
    expect([clicks, messages].map((labels) => counters.sum('events_delivered_total', labels))).toEqual([2, 2])
    expect(counters.sum('events_delivered_total')).toBe(4)
    expect(counters.sum('dead_letters_total', { output: 'devo_1', reason: 'refused' })).toBe(1)
    expect([counters.sum('delivery_attempts_total', { result: 'failed' }), counters.sum('delivery_attempts_total', { result: 'delivered' })]).toEqual([1, 1])
    expect(told).toEqual([
      ['delivery_duration_seconds', { output: 'devo_1' }, true],
      ['last_success_timestamp_seconds', clicks, true],
      ['last_success_timestamp_seconds', messages, true],
    ])
  })

  it('moves the cursor over events that a transform takes out, without shipping them', async () => {
    const sink = new ModelSink()
    const { buffer, options, drain } = await setUp(sink, { transforms: [(batch) => (batch.service === 'clicksBlocked' ? null : batch)] })
    await buffer.append(unit(six))
    drain.abort()
    await deliver(options)
    expect(sink.shipped).toEqual([])
    expect(await backlog(buffer)).toBe(0)
  })

  it('waits for an output that is not reachable and says why', async () => {
    let refusals = 3
    const seen: unknown[] = []
    const sink = new ModelSink({
      check: async () => {
        seen.push(...options.conditions.list().map(({ reason }) => reason))
        if (refusals-- > 0) throw new Error('connection refused')
      },
    })
    const { buffer, options, drain } = await setUp(sink)
    await buffer.append(unit([['a']]))
    drain.abort()
    await deliver(options)
    expect(seen).toEqual(['connecting', 'connection refused', 'connection refused', 'connection refused'])
    expect(options.conditions.list()).toEqual([])
    expect(sink.arrived).toEqual(['a'])
  })

  it('ends with what nothing mends', async () => {
    const sink = new ModelSink()
    const { buffer, options } = await setUp(sink)
    vi.spyOn(buffer, 'commit').mockRejectedValue(new FatalError('buffer.db is damaged'))
    await buffer.append(unit(six))
    await expect(deliver(options)).rejects.toThrow('buffer.db is damaged')
  })
})
