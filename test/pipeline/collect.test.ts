import { Readable } from 'node:stream'
import { pino, type Logger } from 'pino'
import { describe, expect, it, vi } from 'vitest'
import { BufferFullError, type EventBuffer } from '../../src/pipeline/buffer.ts'
import type { Clock } from '../../src/pipeline/clock.ts'
import { collect } from '../../src/pipeline/collect.ts'
import { Conditions } from '../../src/pipeline/conditions.ts'
import { Counters } from '../../src/pipeline/counters.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import type { ReadElsewhere, Source, SourceService } from '../../src/pipeline/source.ts'
import type { Hole, ServiceState, Unit } from '../../src/pipeline/unit.ts'
import { deadLetterOf } from '../contract/buffer-units.ts'
import { hurried, openBuffer, position, silent, temporaryFolder, unit } from './support.ts'

const NOW = Date.UTC(2026, 10, 24, 12)

/** A source whose every call of `units` is written down and answered by `answer`. */
function scripted(answer: (state: ServiceState, call: number) => AsyncIterable<Unit> | Iterable<Unit>) {
  const states: ServiceState[] = []
  const elsewheres: (readonly ReadElsewhere[])[] = []
  const source: Source = {
    name: 'tap',
    inputId: '12345',
    services: [],
    serverTime: () => NOW,
    units: (_service, state, { signal, elsewhere = [] }) => {
      states.push(state)
      elsewheres.push(elsewhere)
      return Readable.from(answer(state, states.length), { objectMode: true, highWaterMark: 1, signal })
    },
    check: async () => undefined,
    close: async () => undefined,
  }
  return { source, states, elsewheres }
}

function run(
  buffer: EventBuffer,
  source: Source,
  change: { startTime?: number | null; kinds?: readonly string[]; replaces?: SourceService['replaces']; once?: boolean; signal?: AbortSignal; conditions?: Conditions; clock?: Clock; log?: Logger } = {},
): Promise<void> {
  return collect({
    source,
    buffer,
    service: { name: 'clicksBlocked', startTime: change.startTime ?? null, ...(change.kinds && { kinds: change.kinds }), replaces: change.replaces ?? [] },
    clock: change.clock ?? hurried,
    log: change.log ?? silent,
    conditions: change.conditions ?? new Conditions(() => NOW),
    counters: new Counters(),
    signal: change.signal ?? new AbortController().signal,
    once: change.once ?? true,
  })
}

describe('collect', () => {
  it('begins a first start at the time of the API where no start time is given', async () => {
    const buffer = await openBuffer(await temporaryFolder())
    const { source, states } = scripted(() => [])
    await run(buffer, source)
    expect(states).toEqual([{ settled: NOW, readAt: 0, holes: [], seen: [], startTime: null }])
    expect(await buffer.loadService('12345', 'clicksBlocked')).toMatchObject({ settled: NOW, startTime: null })
  })

  describe('a service whose kinds others have read', () => {
    const hole = (from: number): Hole => ({ from, to: from + 1_000, since: from, triedAt: from, reason: 'the API fails' })
    const seen = (name: string, to: number) => ({ window: { from: to - 60_000, to }, fingerprints: Uint8Array.from(Buffer.from(name.padEnd(16))) })
    const kinds = ['clicks', 'messages']
    const replaces = kinds.map((name) => ({ name }))

    /** Of a service that has a state already. */
    async function stand(buffer: EventBuffer, service: string, change: Partial<Unit['position']>, startTime: number | null = null): Promise<void> {
      if ((await buffer.loadService('12345', service)) === null) await buffer.startService('12345', service, 0, startTime)
      await buffer.append({ ...unit([]), service, position: position(change) })
    }

    it('goes on at the furthest mark of each kind, with the holes and the fingerprints, however often it is asked', async () => {
      const buffer = await openBuffer(await temporaryFolder())
      await stand(buffer, 'clicks', { settled: NOW - 90_000, holes: [hole(NOW - 200_000)], seen: seen('a', NOW - 30_000) })
      await stand(buffer, 'messages', { settled: NOW - 60_000, holes: [hole(NOW - 300_000)], seen: seen('b', NOW - 10_000) })
      const { source, states, elsewheres } = scripted(() => [])
      await run(buffer, source, { kinds, replaces })
      await run(buffer, source, { kinds, replaces })
      for (const state of states) {
        expect(state).toMatchObject({ settled: NOW - 90_000, holes: [hole(NOW - 300_000), hole(NOW - 200_000)] })
        expect(state.seen.map(({ window }) => window.to)).toEqual([NOW - 30_000, NOW - 10_000])
      }
      expect(elsewheres[1]).toMatchObject([{ kinds: ['clicks'], settled: NOW - 90_000 }, { kinds: ['messages'], settled: NOW - 60_000, holes: [hole(NOW - 300_000)] }])
    })

    it('takes up its own old state only where nobody has gone on meanwhile, and no hole that is closed', async () => {
      const buffer = await openBuffer(await temporaryFolder())
      await stand(buffer, 'clicksBlocked', { settled: NOW - 90_000, holes: [hole(NOW - 300_000)], seen: seen('own', NOW - 20_000) }, NOW - 900_000)
      const both = { name: 'both', kinds: ['clicksBlocked', 'other'] }
      await stand(buffer, 'both', { settled: NOW - 95_000, readAt: 5 })
      const { source, states } = scripted(() => [])
      await run(buffer, source, { startTime: NOW - 900_000, replaces: [both] })
      await stand(buffer, 'both', { settled: NOW - 60_000, holes: [hole(NOW - 70_000)], readAt: 6 })
      await run(buffer, source, { startTime: NOW - 900_000, replaces: [both] })
      expect(states).toMatchObject([
        { settled: NOW - 90_000, holes: [hole(NOW - 300_000)] },
        { settled: NOW - 60_000, holes: [hole(NOW - 70_000)], readAt: 6, startTime: NOW - 900_000 },
      ])
      // What it had seen beyond the mark is in the buffer.
      expect((await buffer.loadService('12345', 'clicksBlocked'))?.seen).toHaveLength(1)
    })

    it('is asked of again from a hole only where all who have read the kind lack it', async () => {
      const buffer = await openBuffer(await temporaryFolder())
      await stand(buffer, 'clicksBlocked', { settled: NOW - 90_000 })
      await stand(buffer, 'both', { settled: NOW - 60_000, holes: [hole(NOW - 200_000), hole(NOW - 80_000)] })
      const { source, states } = scripted(() => [])
      await run(buffer, source, { replaces: [{ name: 'both', kinds: ['clicksBlocked', 'other'] }] })
      expect(states).toMatchObject([{ settled: NOW - 60_000, holes: [hole(NOW - 80_000)] }])
    })

    it('begins where the user says with a new start time, and goes on there although others were further', async () => {
      const buffer = await openBuffer(await temporaryFolder())
      await stand(buffer, 'clicks', { settled: NOW - 60_000, seen: seen('a', NOW - 30_000) }, NOW - 500_000)
      await stand(buffer, 'messages', { settled: NOW - 400_000, holes: [hole(NOW - 450_000)] }, NOW - 500_000)
      const { source, states } = scripted(() => [])
      for (let start = 0; start < 2; start += 1) await run(buffer, source, { kinds, replaces, startTime: NOW - 200_000 })
      expect(states).toMatchObject([{ settled: NOW - 200_000, seen: [], holes: [] }, { settled: NOW - 200_000, seen: [], holes: [] }])
      expect(await buffer.loadService('12345', 'messages')).toMatchObject({ settled: NOW - 400_000, holes: [hole(NOW - 450_000)] })
    })

    it('goes on with the start time that the others began with, and reads from there what nobody has', async () => {
      const buffer = await openBuffer(await temporaryFolder())
      await stand(buffer, 'clicks', { settled: NOW - 60_000 }, NOW - 500_000)
      const { source, states } = scripted(() => [])
      await run(buffer, source, { kinds, replaces, startTime: NOW - 500_000 })
      await stand(buffer, 'messages', { settled: NOW - 90_000 }, NOW - 500_000)
      await run(buffer, source, { kinds, replaces, startTime: NOW - 500_000 })
      expect(states.map(({ settled }) => settled)).toEqual([NOW - 500_000, NOW - 90_000])
    })

    it('takes over once more after a kill before the holes had gone over', async () => {
      const buffer = await openBuffer(await temporaryFolder())
      await stand(buffer, 'clicks', { settled: NOW - 90_000, holes: [hole(NOW - 200_000)] })
      const { source, states } = scripted(() => [])
      const broken = vi.spyOn(buffer, 'append').mockRejectedValueOnce(new RetryableError('the disk is full'))
      await expect(run(buffer, source, { kinds: ['clicks'], replaces })).rejects.toThrow('the disk is full')
      broken.mockRestore()
      await run(buffer, source, { kinds: ['clicks'], replaces })
      expect(states).toMatchObject([{ settled: NOW - 90_000, holes: [hole(NOW - 200_000)] }])
    })
  })

  it('continues from the saved state; a changed start time begins anew, a removed one changes nothing', async () => {
    const buffer = await openBuffer(await temporaryFolder())
    const first = Date.UTC(2026, 10, 20)
    const other = Date.UTC(2026, 10, 22)
    const { source, states } = scripted((state, call) =>
      call === 1 ? [unit([['a']], { position: position({ settled: state.settled + 1_000 }) })] : [],
    )
    await run(buffer, source, { startTime: first })
    await run(buffer, source, { startTime: first })
    await run(buffer, source, { startTime: null })
    await run(buffer, source, { startTime: other })
    await run(buffer, source, { startTime: other })
    expect(states.map(({ settled }) => settled)).toEqual([first, first + 1_000, first + 1_000, other, other])
  })

  it('loads the state again after an append of unknown outcome and continues from what that says', async () => {
    const buffer = await openBuffer(await temporaryFolder())
    const append = buffer.append.bind(buffer)
    let appends = 0
    vi.spyOn(buffer, 'append').mockImplementation(async (next) => {
      appends += 1
      await append(next)
      // durable, and yet the caller hears of a failure
      if (appends === 2) throw new RetryableError('disk I/O error')
    })
    const { source, states } = scripted((state) => {
      const done = (state.settled - NOW) / 1_000
      return ['a', 'b', 'c']
        .slice(done)
        .map((name, index) => unit([[name]], { position: position({ settled: NOW + (done + index + 1) * 1_000 }) }))
    })
    await run(buffer, source, { once: false })
    expect(states.map(({ settled }) => settled - NOW)).toEqual([0, 2_000])
    expect((await buffer.snapshot()).services[0]?.settled).toBe(NOW + 3_000)
  })

  it('tells what cannot be delivered of the first unit at once, and adds up what comes behind it', async () => {
    const buffer = await openBuffer(await temporaryFolder())
    const lines: string[] = []
    const log = pino({}, { write: (line: string) => void lines.push(...(/"msg":"([^"]*dead letters?[^"]*)"/.exec(line)?.slice(1) ?? [])) })
    const refused = (reasons: readonly string[]) => unit([], { deadLetters: reasons.map((reason) => deadLetterOf('[]', null, reason)) })
    await run(buffer, scripted(() => [refused(['no object']), refused(['too large', 'too deep']), refused(['too deep'])]).source, { log })
    expect(lines).toEqual([
      'An event of tap/clicksBlocked cannot be delivered and is kept as a dead letter: no object',
      '3 events of tap/clicksBlocked cannot be delivered and are kept as dead letters, the first of them: too large',
    ])
    expect((await buffer.snapshot()).sourceDeadLetters).toBe(4)
  })

  it('asks nothing of the source while the buffer is full, says so, and goes on by itself', async () => {
    const buffer = await openBuffer(await temporaryFolder())
    const conditions = new Conditions(() => NOW)
    const reasons: string[] = []
    let full = 3
    vi.spyOn(buffer, 'assertRoom').mockImplementation(async () => {
      reasons.push(...conditions.list().map(({ reason }) => reason))
      if (full-- > 0) throw new BufferFullError('the buffer is full')
    })
    const { source, states } = scripted(() => [unit([['a']])])
    await run(buffer, source, { conditions, once: true })
    expect(states).toHaveLength(1)
    expect(new Set(reasons)).toEqual(new Set(['the buffer is full']))
    expect(conditions.list()).toEqual([])
  })

  it('holds a window open while the buffer makes room, and asks for it again only when that takes too long', async () => {
    const buffer = await openBuffer(await temporaryFolder())
    let calls = 0
    let fullUntil = 5
    vi.spyOn(buffer, 'assertRoom').mockImplementation(async () => {
      calls += 1
      // room for the start and for the first unit, then none for a while
      if (calls > 2 && calls <= fullUntil) throw new BufferFullError('the buffer is full')
    })
    const { source, states } = scripted(() => [unit([['a']]), unit([['b']])])
    await run(buffer, source, { once: true })
    expect(states).toHaveLength(1)

    calls = 0
    fullUntil = 500
    let now = 0
    const clock = { ...hurried, monotonic: () => (now += 1_000) }
    const again = scripted(() => [unit([['c']]), unit([['d']])])
    await run(buffer, again.source, { once: true, clock })
    expect(again.states).toHaveLength(2)
  })

  it('tells a wait once in the log, although its numbers change, and has the latest in the conditions', async () => {
    const buffer = await openBuffer(await temporaryFolder())
    const conditions = new Conditions(() => NOW)
    let looks = 0
    vi.spyOn(buffer, 'assertRoom').mockImplementation(async () => {
      looks += 1
      if (looks > 2 && looks < 9) {
        expect(conditions.list().map(({ part, reason }) => `${part}: ${reason}`)).toEqual(looks === 3 ? [] : [`tap/clicksBlocked/buffer: ${looks - 1} MB are free`])
        throw new BufferFullError(`${looks} MB are free`)
      }
    })
    const lines: string[] = []
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
    const { source } = scripted(() => [unit([['a']]), unit([['b']])])
    await run(buffer, source, { conditions, log })
    expect(lines.filter((line) => line.includes('Fetching waits'))).toHaveLength(1)
    expect(lines.filter((line) => line.includes('takes events again'))).toHaveLength(1)
    expect(conditions.list()).toEqual([])
  })

  it('fails a single run with what the source cannot mend, and waits for ever otherwise', async () => {
    const buffer = await openBuffer(await temporaryFolder())
    const stop = new AbortController()
    const { source, states } = scripted((_state, call) => {
      if (call === 5) stop.abort()
      throw new RetryableError('login refused (401)')
    })
    await expect(run(buffer, source, { once: true })).rejects.toThrow('login refused (401)')
    await run(buffer, source, { once: false, signal: stop.signal })
    expect(states).toHaveLength(5)
  })

  it('does not hide a bug', async () => {
    const buffer = await openBuffer(await temporaryFolder())
    const { source } = scripted(() => {
      throw new TypeError('undefined is not a function')
    })
    await expect(run(buffer, source, { once: false })).rejects.toThrow(TypeError)
  })
})
