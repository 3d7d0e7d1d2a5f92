import { describe, expect, onTestFinished, test } from 'vitest'
import type { Cursor, EventBuffer } from '../../src/pipeline/buffer.ts'
import { countEvents } from '../../src/pipeline/event.ts'
import { ReplayBuffer } from '../../src/pipeline/replay.ts'
import { ReplayPositions } from '../../src/pipeline/replay-positions.ts'
import type { PulledBetween, ReplayStepsOptions, ReplayStore } from '../../src/pipeline/replay-store.ts'
import type { Batch } from '../../src/pipeline/event.ts'
import { deadLetterOf, numbered, openShares, textsOf, unitOf } from './buffer-units.ts'

interface ReplayHarness {
  readonly open: () => Promise<EventBuffer>
  readonly replay: (pulled: PulledBetween) => Promise<ReplayStore | null>
}

const EVER: PulledBetween = { from: -Infinity, to: Infinity }
const ID = '0123abcd'
const OUTPUTS = [{ name: 'a', startFrom: 'now' as const }]
const NOW = Date.now()
const { signal } = new AbortController()

/** What a buffer owes a replay. */
export function replayContract(name: string, makeHarness: () => Promise<ReplayHarness>): void {
  const setUp = async () => {
    const harness = await makeHarness()
    const buffer = await harness.open()
    onTestFinished(async () => buffer.close())
    await openShares(buffer, OUTPUTS)
    const replay = async (pulled = EVER): Promise<ReplayStore> => {
      const store = await harness.replay(pulled)
      if (store === null) throw new Error('the buffer is not there')
      onTestFinished(async () => store.close())
      return store
    }
    return { buffer, replay }
  }

  const stepsOf = async (store: ReplayStore, options: Partial<ReplayStepsOptions> = {}) => {
    const steps: { events: readonly string[]; size: number; cursor: Cursor }[] = []
    const all = { from: store.begin, to: store.end, isWanted: () => true, maxEvents: 100, signal, ...options }
    for await (const { batch, cursor } of store.steps(all)) steps.push({ events: batch === null ? [] : textsOf(batch), size: batch === null ? 0 : countEvents(batch), cursor })
    return steps
  }
  const eventsOf = async (store: ReplayStore, options: Partial<ReplayStepsOptions> = {}): Promise<string[]> => (await stepsOf(store, options)).flatMap(({ events }) => events)

  describe(`a replay out of ${name}`, () => {
    test('gives every event once, and goes on behind any of its steps, however small they are', async () => {
      const { buffer, replay } = await setUp()
      for (let n = 0; n < 4; n += 1) await buffer.append(unitOf({ chunks: [numbered(n * 20, 13), numbered(n * 20 + 13, 7)] }))
      const store = await replay()
      for (const maxEvents of [1, 5, 100]) {
        const steps = await stepsOf(store, { maxEvents })
        expect(steps.flatMap(({ events }) => events).toSorted()).toEqual(numbered(0, 80).toSorted())
        expect(Math.max(...steps.map(({ size }) => size))).toBeLessThanOrEqual(maxEvents)
        expect(steps.at(-1)?.cursor).toBe(store.end)
        const middle = steps[Math.floor(steps.length / 3)]?.cursor ?? ''
        const [head, tail] = [await eventsOf(store, { to: middle, maxEvents: 100 }), await eventsOf(store, { from: middle, maxEvents: 7 })]
        expect([...head, ...tail].toSorted()).toEqual(numbered(0, 80).toSorted())
        expect(head.length).toBeGreaterThan(0)
      }
      expect(store.fraction(store.begin)).toBe(0)
      expect(store.fraction(store.end)).toBe(1)
    })

    test('passes over stretches of any length that hold nothing wanted', async () => {
      const { buffer, replay } = await setUp()
      for (let n = 0; n < 12; n += 1)
        await buffer.append(unitOf({ service: 'messagesBlocked', chunks: Array.from({ length: 100 }, (_, chunk) => [`{"n":"${n}-${chunk}"}`]) }))
      await buffer.append(unitOf({ chunks: [numbered(0, 3)] }))
      const store = await replay()
      const positions = new ReplayPositions({ store, id: null, request: '', outputs: ['a'] })
      const selection = { isWanted: ({ service }: { service: string }) => service === 'clicksBlocked', isInTime: null }
      const read = new ReplayBuffer({ store, selection, positions, pace: null, maxBatchEvents: 100 }).read('a', { from: store.begin, maxEvents: 2, maxBytes: 1e9, signal })
      const events: string[] = []
      // A BatchStream carries batches.
      for await (const batch of read) events.push(...textsOf(batch as Batch))
      expect(events).toEqual(numbered(0, 3))
      expect(read.cursor).toBe(store.end)
    })

    test('comes to the same end once more, though its batches are others and larger than the limits', async () => {
      const { buffer, replay } = await setUp()
      for (let n = 0; n < 3; n += 1) await buffer.append(unitOf({ chunks: [numbered(n * 5, 5)] }))
      const store = await replay()
      const positions = new ReplayPositions({ store, id: null, request: '', outputs: ['a'] })
      const readTo = async (maxBatchEvents: number, to?: Cursor) => {
        const replayed = new ReplayBuffer({ store, selection: { isWanted: () => true, isInTime: null }, positions, pace: null, maxBatchEvents })
        const read = replayed.read('a', { from: store.begin, maxEvents: 2, maxBytes: 1e9, signal, ...(to !== undefined && { to }) })
        const events: string[] = []
        // A BatchStream carries batches.
        for await (const batch of read) events.push(...textsOf(batch as Batch))
        return { events, cursor: read.cursor }
      }
      const first = await readTo(100)
      expect(first.events.length).toBeGreaterThan(2)
      expect(await readTo(1, first.cursor)).toEqual(first)
    })

    test('has what was pulled in a time, and nothing that comes later', async () => {
      const { buffer, replay } = await setUp()
      expect((await replay()).oldestPull).toBeNull()
      for (let n = 0; n < 5; n += 1) await buffer.append(unitOf({ chunks: [numbered(n, 1)], pulledAt: NOW - 50 + n * 10 }))
      const pulled = { from: NOW - 40, to: NOW - 20 }
      const isWanted = ({ pulledAt }: { pulledAt: number }): boolean => pulledAt >= pulled.from && pulledAt < pulled.to
      const store = await replay(pulled)
      await buffer.append(unitOf({ chunks: [numbered(9, 1)], pulledAt: NOW - 30 }))
      expect((await eventsOf(store, { isWanted })).toSorted()).toEqual(numbered(1, 2))
      expect(store.oldestPull).toBe(NOW - 50)
      expect(store.hasRemoved || store.missed).toBe(false)
      expect((await eventsOf(await replay(pulled), { isWanted })).toSorted()).toEqual(['{"n":1}', '{"n":2}', '{"n":9}'])
    })

    test('keeps where it is until it is over, and its dead letters; the places of outputs stay', async () => {
      const { buffer, replay } = await setUp()
      await buffer.append(unitOf({ chunks: [numbered(0, 10)] }))
      const store = await replay()
      expect(await store.load(ID)).toBeNull()
      const saved = { request: '--from x', run: 'r1', cursors: { a: (await stepsOf(store, { maxEvents: 3 }))[0]?.cursor ?? '', b: store.begin } }
      await store.save(ID, saved)
      expect(await (await replay()).load(ID)).toEqual(saved)
      await store.save(ID, { ...saved, cursors: { a: store.end, b: store.end } })
      expect((await store.load(ID))?.cursors).toEqual({ a: store.end, b: store.end })
      await store.keep('a', [deadLetterOf('{"n":0}', 'a')])
      await store.remove(ID)
      expect(await (await replay()).load(ID)).toBeNull()
      const [output] = (await buffer.snapshot()).outputs
      expect(output).toMatchObject({ name: 'a', deadLetters: 1, provenAt: 0 })
      expect(output?.backlogEvents).toBeGreaterThanOrEqual(10)
    })
  })
}
