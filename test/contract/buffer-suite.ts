import { getEventListeners, once } from 'node:events'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Cursor, EventBuffer, InputOwnership } from '../../src/pipeline/buffer.ts'
import type { Batch } from '../../src/pipeline/event.ts'
import type { Gap, Hole } from '../../src/pipeline/unit.ts'
import { type Limits, deadLetterOf, fingerprintsOf, HOUR_MS, INPUT, numbered, openRead, openShares, padded, readShipment, SERVICE, settle, textsOf, unitOf } from './buffer-units.ts'

/** One durable buffer that can be opened, closed and opened again with all that is in it. */
export interface BufferUnderTest {
  /** Whether a backlog is the number of events, or may be more; nothing undelivered is 0 in any case. Default: exact. */
  readonly backlog?: 'exact' | 'upper-bound'
  /** The suite itself owns the inputs and takes the shares. */
  open(): Promise<EventBuffer>
  /** Removes everything; called after the last close. */
  cleanup(): Promise<void>
}

/** What every buffer owes the pipeline (src/pipeline/buffer.ts); nothing here knows what is behind it. */
export function bufferContract(name: string, make: () => Promise<BufferUnderTest>): void {
  describe(`${name} keeps the buffer's contract`, () => {
    let subject: BufferUnderTest
    let buffer: EventBuffer
    let inputs: InputOwnership

    beforeEach(async () => {
      subject = await make()
      await open()
    })

    afterEach(async () => {
      await buffer.close()
      await subject.cleanup()
    })

    async function open(): Promise<void> {
      buffer = await subject.open()
      inputs = await buffer.ownInputs(new AbortController().signal)
    }

    async function reopen(): Promise<void> {
      await buffer.close()
      await open()
    }

    async function openOutput(output = 'devo', startFrom: 'now' | 'oldest' = 'now'): Promise<Cursor> {
      const opened = (await openShares(buffer, [{ name: output, startFrom }])).get(output)
      if (opened === undefined) throw new Error(`${output} was not opened`)
      return opened.cursor
    }

    async function append(...chunks: string[][]): Promise<void> {
      await buffer.append(unitOf({ chunks }))
    }

    async function backlogOf(output = 'devo'): Promise<number | undefined> {
      return (await buffer.snapshot()).outputs.find((entry) => entry.name === output)?.backlogEvents
    }

    /** Time enough to see that something has not happened: behind a network, several answers that were asked for later are here. */
    async function quiet(from: Cursor): Promise<void> {
      for (let rounds = 0; rounds < 3; rounds += 1) await readShipment(buffer, 'devo', from)
      await settle()
    }

    /** An upper bound may count what is no event, but nothing undelivered is 0. */
    function expectBacklog(actual: readonly (number | undefined)[], expected: readonly number[]): void {
      if ((subject.backlog ?? 'exact') === 'exact') {
        expect(actual).toEqual(expected)
        return
      }
      actual.forEach((backlog = -1, index) => {
        const events = expected[index] ?? 0
        expect(backlog).toBeGreaterThanOrEqual(events)
        expect(backlog).toBeLessThanOrEqual(events === 0 ? 0 : events + 5)
      })
    }

    describe('append and read', () => {
      test('gives the events back byte for byte, in order, with their pull and fingerprints', async () => {
        const from = await openOutput()
        const odd = ['{"u":"é \\u0000 \u{1F600}","n":12345678901234567890}', '{"a":0.0}', '{}']
        await buffer.append(unitOf({ chunks: [odd], pulledAt: 1_700_000_000_123, environment: 'prod' }))
        await buffer.append(unitOf({ chunks: [numbered(0, 2), numbered(2, 1)], service: 'messagesDelivered', inputId: 'other' }))
        const { batches, events, eventsRead } = await readShipment(buffer, 'devo', from)
        expect(events).toEqual([...odd, ...numbered(0, 3)])
        expect(eventsRead).toBe(6)
        expect(batches[0]).toMatchObject({ inputId: INPUT, service: SERVICE, pulledAt: 1_700_000_000_123, environment: 'prod' })
        expect(batches[1]).toMatchObject({ inputId: 'other', service: 'messagesDelivered', environment: null })
        const hexOf = (fingerprints: readonly Uint8Array[]) => fingerprints.map((bytes) => Buffer.from(bytes).toString('hex')).join('')
        expect(hexOf(batches.map((batch) => batch.fingerprints))).toBe(hexOf([odd, numbered(0, 2), numbered(2, 1)].map(fingerprintsOf)))
      })

      test('moves the service that has read a unit, whatever kind its events are of', async () => {
        const from = await openOutput()
        await buffer.startService(INPUT, 'issues', 5, null)
        const seen = { window: { from: 0, to: 1 }, fingerprints: fingerprintsOf(numbered(0, 2)) }
        await buffer.append(unitOf({ chunks: [numbered(0, 2)], service: 'clicksPermitted', reader: 'issues', position: { settled: 9, seen } }))
        await reopen()
        const { batches } = await readShipment(buffer, 'devo', await openOutput())
        expect(batches.map(({ service }) => service)).toEqual(['clicksPermitted'])
        expect(await openOutput()).toBe(from)
        expect(await buffer.loadService(INPUT, 'issues')).toMatchObject({ settled: 9, seen: [{ window: seen.window }] })
        expect(await buffer.loadService(INPUT, 'clicksPermitted')).toBeNull()
      })

      test('takes the bytes of a unit: they are detached', async () => {
        const unit = unitOf({ chunks: [numbered(0, 3)], position: { seen: { window: { from: 0, to: 1 }, fingerprints: fingerprintsOf(numbered(0, 3)) } } })
        const lines = unit.chunks[0]?.lines
        await buffer.append(unit)
        expect(lines?.buffer.byteLength).toBe(0)
        expect(unit.position.seen?.fingerprints.buffer.byteLength).toBe(0)
      })

      test('refuses a unit whose bytes were already given away, and moves nothing', async () => {
        const from = await openOutput()
        const unit = unitOf({ chunks: [numbered(0, 3)], position: { settled: 10 } })
        await buffer.append(unit)
        await expect(buffer.append({ ...unit, position: { ...unit.position, settled: 20 } })).rejects.toThrow('given away')
        expect((await readShipment(buffer, 'devo', from)).events).toEqual(numbered(0, 3))
        expect((await buffer.loadService(INPUT, SERVICE))?.settled).toBe(10)
      })

      test('accepts views of larger buffers, and leaves the rest of those alone', async () => {
        const from = await openOutput()
        const [chunk] = unitOf({ chunks: [numbered(0, 3)] }).chunks
        if (chunk === undefined) throw new Error('no chunk')
        const large = new Uint8Array(chunk.lines.length + 100).fill(7)
        large.set(chunk.lines, 50)
        const lines = large.subarray(50, 50 + chunk.lines.length)
        await buffer.append({ ...unitOf(), chunks: [{ lines, fingerprints: chunk.fingerprints }] })
        expect((await readShipment(buffer, 'devo', from)).events).toEqual(numbered(0, 3))
        expect(large.at(-1)).toBe(7)
      })

      test('reads what was there before a restart, and goes on behind it', async () => {
        const from = await openOutput()
        await append(numbered(0, 5))
        await reopen()
        await append(numbered(5, 5))
        expect(await openOutput()).toBe(from)
        expect((await readShipment(buffer, 'devo', from)).events).toEqual(numbered(0, 10))
      })

      test('ends when nothing more is there, with the cursor where it began', async () => {
        const from = await openOutput()
        expect(await readShipment(buffer, 'devo', from)).toEqual({ batches: [], events: [], cursor: from, eventsRead: 0 })
      })

      test('reads on from a cursor without a gap or an overlap, also many small chunks', async () => {
        let from = await openOutput()
        for (let unit = 0; unit < 20; unit += 1) await append(...numbered(unit * 10, 10).map((event) => [event]))
        const seen: string[] = []
        expect((await readShipment(buffer, 'devo', from)).eventsRead).toBe(200)
        expect((await readShipment(buffer, 'devo', from, { maxEvents: 77 })).eventsRead).toBe(77)
        for (;;) {
          const shipment = await readShipment(buffer, 'devo', from, { maxEvents: 77 })
          if (shipment.eventsRead === 0) break
          expect(shipment.eventsRead).toBeLessThanOrEqual(77)
          seen.push(...shipment.events)
          from = shipment.cursor
        }
        expect(seen).toEqual(numbered(0, 200))
      })

      test('keeps both limits of a shipment, and takes at least one chunk', async () => {
        const from = await openOutput()
        await append(padded(0, 10, 1000), padded(10, 10, 1000), padded(20, 10, 1000))
        // A buffer may hold chunks as they were appended, or cut them anew.
        const expectRead = async (limits: Limits, least: number, most: number): Promise<void> => {
          const { eventsRead } = await readShipment(buffer, 'devo', from, limits)
          expect(eventsRead).toBeGreaterThanOrEqual(least)
          expect(eventsRead).toBeLessThanOrEqual(most)
        }
        await expectRead({ maxEvents: 25 }, 20, 25)
        await expectRead({ maxEvents: 20 }, 20, 20)
        await expectRead({ maxEvents: 19 }, 10, 19)
        await expectRead({ maxBytes: 25_000 }, 10, 24)
        await expectRead({ maxEvents: 1, maxBytes: 1 }, 1, 10)
      })

      test('several megabytes come whole', async () => {
        const from = await openOutput()
        for (let unit = 0; unit < 3; unit += 1) await append(...Array.from({ length: 15 }, (_, chunk) => padded(unit * 1500 + chunk * 100, 100, 2000)))
        const { events } = await readShipment(buffer, 'devo', from)
        expect(events.length).toBe(4500)
        expect(events.every((event, index) => event.startsWith(`{"n":${index},`))).toBe(true)
      })

      test('a retry with the `to` of the first attempt reads exactly the same, whatever came since', async () => {
        const from = await openOutput()
        await append(numbered(0, 10), numbered(10, 10))
        const first = await readShipment(buffer, 'devo', from)
        await append(numbered(20, 10))
        const retry = await readShipment(buffer, 'devo', from, { to: first.cursor })
        expect(retry.events).toEqual(first.events)
        expect(retry.cursor).toBe(first.cursor)
        const next = await readShipment(buffer, 'devo', first.cursor)
        expect(next.events).toEqual(numbered(20, 10))
      })

      test('several shipments of one output are read at the same time, each its own range', async () => {
        const from = await openOutput()
        for (let unit = 0; unit < 6; unit += 1) await append(padded(unit * 100, 100, 1000))
        const first = await readShipment(buffer, 'devo', from, { maxEvents: 200 })
        const second = await readShipment(buffer, 'devo', first.cursor, { maxEvents: 200 })
        const third = await readShipment(buffer, 'devo', second.cursor, { maxEvents: 200 })
        const again = await Promise.all([
          readShipment(buffer, 'devo', from, { to: first.cursor }),
          readShipment(buffer, 'devo', first.cursor, { to: second.cursor }),
          readShipment(buffer, 'devo', second.cursor, { to: third.cursor }),
          append(padded(600, 100, 1000)),
        ])
        expect(again.slice(0, 3).map((shipment) => shipment?.events)).toEqual([first.events, second.events, third.events])
      })

      test('`finish` ends the stream behind what was read, and the cursor goes on from there', async () => {
        const from = await openOutput()
        for (let pull = 0; pull < 30; pull += 1) await buffer.append(unitOf({ chunks: [numbered(pull * 10, 10)], pulledAt: 1_700_000_000_000 + pull }))
        const stream = openRead(buffer, 'devo', from)
        const seen: string[] = []
        for await (const batch of stream) {
          // A BatchStream carries batches.
          seen.push(...textsOf(batch as Batch))
          if (seen.length === 50) stream.finish()
        }
        expect(seen.length).toBeGreaterThanOrEqual(50)
        expect(seen.length).toBeLessThan(100)
        expect(stream.eventsRead).toBe(seen.length)
        const rest = await readShipment(buffer, 'devo', stream.cursor)
        expect([...seen, ...rest.events]).toEqual(numbered(0, 300))
      })

      test('an abort destroys the stream in the middle, at the start and before it', async () => {
        const from = await openOutput()
        await append(...Array.from({ length: 100 }, (_, chunk) => padded(chunk * 10, 10, 3000)))
        const inTheMiddle = new AbortController()
        const stream = openRead(buffer, 'devo', from, { signal: inTheMiddle.signal })
        const reading = (async () => {
          for await (const _ of stream) inTheMiddle.abort()
        })()
        await expect(reading).rejects.toThrow()
        expect(stream.destroyed).toBe(true)
        const atTheStart = new AbortController()
        const started = readShipment(buffer, 'devo', from, { signal: atTheStart.signal })
        atTheStart.abort()
        await expect(started).rejects.toThrow()
        await expect(readShipment(buffer, 'devo', from, { signal: AbortSignal.abort() })).rejects.toThrow()
        expect((await readShipment(buffer, 'devo', from)).eventsRead).toBe(1000)
      })
    })

    describe('position', () => {
      const holes: Hole[] = [{ from: 100, to: 130, since: 140, triedAt: 150, reason: 'HTTP 500' }]
      const gap: Gap = { from: 1, to: 2, recordedAt: 3, reason: 'off for 8 days' }
      const window = { from: 0, to: 1000 }
      const fingerprints = () => fingerprintsOf(numbered(0, 2))
      const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('hex')
      const stateOf = () => buffer.loadService(INPUT, SERVICE)

      test('is null for a service that has never run', async () => {
        expect(await stateOf()).toBeNull()
        await buffer.startService(INPUT, SERVICE, 5, null)
        expect(await stateOf()).not.toBeNull()
        expect(await buffer.loadService('other', SERVICE)).toBeNull()
      })

      test('is durable with the events of its unit', async () => {
        await buffer.startService(INPUT, SERVICE, 5, 4)
        await buffer.append(unitOf({ chunks: [numbered(0, 2)], position: { settled: 500, readAt: 600, holes, gaps: [gap], seen: { window, fingerprints: fingerprints() } } }))
        await reopen()
        const state = await stateOf()
        expect(state).toMatchObject({ settled: 500, readAt: 600, holes, startTime: 4, seen: [{ window }] })
        expect(hex(state?.seen[0]?.fingerprints)).toBe(hex(fingerprints()))
        expect((await buffer.snapshot()).services).toEqual([
          { inputId: INPUT, service: SERVICE, settled: 500, readAt: 600, startTime: 4, holes, gaps: [gap] },
        ])
      })

      test('moves with a unit that has no event', async () => {
        const from = await openOutput()
        await buffer.append(unitOf({ position: { settled: 7 } }))
        expect((await stateOf())?.settled).toBe(7)
        expect((await readShipment(buffer, 'devo', from)).eventsRead).toBe(0)
      })

      test('replaces holes and adds gaps', async () => {
        await buffer.append(unitOf({ position: { holes: [...holes, { ...holes[0], from: 200, to: 230, since: 1, triedAt: 1, reason: 'x' }], gaps: [gap] } }))
        await buffer.append(unitOf({ position: { holes, gaps: [{ ...gap, from: 10, to: 20 }] } }))
        expect((await stateOf())?.holes).toEqual(holes)
        expect((await buffer.snapshot()).services[0]?.gaps).toEqual([gap, { ...gap, from: 10, to: 20 }])
        await buffer.append(unitOf({ position: { holes: [] } }))
        expect((await stateOf())?.holes).toEqual([])
      })

      test('adds fingerprints and forgets them by their window', async () => {
        const second = { from: 0, to: 2000 }
        await buffer.append(unitOf({ chunks: [['{"a":1}']], position: { seen: { window, fingerprints: fingerprintsOf(['{"a":1}']) } } }))
        await buffer.append(unitOf({ chunks: [['{"a":2}']], position: { seen: { window, fingerprints: fingerprintsOf(['{"a":2}']) } } }))
        await buffer.append(unitOf({ chunks: [['{"a":3}']], position: { seen: { window: second, fingerprints: fingerprintsOf(['{"a":3}']) } } }))
        await buffer.append(unitOf({ service: 'other', position: { seen: { window, fingerprints: fingerprintsOf(['{"a":4}']) } } }))
        const all = (await stateOf())?.seen.map((seen) => hex(seen.fingerprints)).join('')
        expect(all).toBe(hex(fingerprintsOf(['{"a":1}', '{"a":2}', '{"a":3}'])))
        await buffer.append(unitOf({ position: { forgotten: [window, { from: 5, to: 6 }] } }))
        expect((await stateOf())?.seen.map((seen) => seen.window)).toEqual([second])
        expect((await buffer.loadService(INPUT, 'other'))?.seen.length).toBe(1)
      })

      test('a service that starts anew forgets fingerprints and holes, keeps events and gaps, and takes the new start', async () => {
        const from = await openOutput()
        await buffer.append(unitOf({ chunks: [numbered(0, 2)], position: { settled: 500, holes, gaps: [gap], seen: { window, fingerprints: fingerprints() } } }))
        await buffer.append(unitOf({ service: 'other', position: { settled: 501, holes, seen: { window, fingerprints: fingerprints() } } }))
        await buffer.startService(INPUT, SERVICE, 50, 40)
        await reopen()
        expect(await stateOf()).toEqual({ settled: 50, readAt: 0, holes: [], seen: [], startTime: 40 })
        expect((await buffer.snapshot()).services.find(({ service }) => service === SERVICE)?.gaps).toEqual([gap])
        expect((await readShipment(buffer, 'devo', from)).eventsRead).toBe(2)
        expect(await buffer.loadService(INPUT, 'other')).toMatchObject({ settled: 501, holes, seen: [{ window }] })
      })

      test('is the latest one also of a service that appends after a restart before it is loaded', async () => {
        for (const service of ['a', 'b']) await buffer.append(unitOf({ service, position: { settled: 10 } }))
        await reopen()
        expect((await buffer.loadService(INPUT, 'a'))?.settled).toBe(10)
        await buffer.append(unitOf({ service: 'b', chunks: [numbered(0, 1)], position: { settled: 20, seen: { window, fingerprints: fingerprints() } } }))
        expect(await buffer.loadService(INPUT, 'b')).toMatchObject({ settled: 20, seen: [{ window }] })
      })

      test('a start time stays through later units', async () => {
        await buffer.startService(INPUT, SERVICE, 50, 40)
        await buffer.append(unitOf({ position: { settled: 60 } }))
        expect(await stateOf()).toMatchObject({ settled: 60, startTime: 40 })
      })
    })

    describe('outputs', () => {
      test('those of a first start all begin with the first event', async () => {
        await append(numbered(0, 3))
        const opened = await openShares(buffer, [{ name: 'a', startFrom: 'now' }, { name: 'b', startFrom: 'oldest' }])
        for (const name of ['a', 'b']) {
          expect(opened.get(name)?.missedEvents).toBe(0)
          expect((await readShipment(buffer, name, opened.get(name)?.cursor ?? '')).events).toEqual(numbered(0, 3))
        }
      })

      test('one that is added later begins now, or with the oldest event that is there', async () => {
        const first = await openOutput('a')
        await append(numbered(0, 3))
        const opened = await openShares(buffer, [
          { name: 'a', startFrom: 'now' }, { name: 'b', startFrom: 'now' }, { name: 'c', startFrom: 'oldest' },
        ])
        await append(numbered(3, 3))
        expect(opened.get('a')?.cursor).toBe(first)
        expect((await readShipment(buffer, 'b', opened.get('b')?.cursor ?? '')).events).toEqual(numbered(3, 3))
        expect((await readShipment(buffer, 'c', opened.get('c')?.cursor ?? '')).events).toEqual(numbered(0, 6))
        expectBacklog([await backlogOf('a'), await backlogOf('b'), await backlogOf('c')], [6, 3, 6])
      })

      test('a known one goes on from its committed cursor, also after being off', async () => {
        await openOutput('a')
        await append(numbered(0, 3))
        const { cursor } = await readShipment(buffer, 'a', await openOutput('a'))
        await buffer.commit('a', cursor, [])
        await openOutput('b')
        await append(numbered(3, 3))
        await reopen()
        const outputs = (await buffer.snapshot()).outputs
        expect(outputs.map(({ name, open }) => ({ name, open }))).toEqual([{ name: 'a', open: false }, { name: 'b', open: true }])
        expectBacklog(outputs.map(({ backlogEvents }) => backlogEvents), [3, 3])
        const opened = await openShares(buffer, [{ name: 'a', startFrom: 'now' }])
        expect(opened.get('a')).toMatchObject({ cursor, missedEvents: 0 })
        expect((await readShipment(buffer, 'a', cursor)).events).toEqual(numbered(3, 3))
      })

      test('each goes at its own pace', async () => {
        await openShares(buffer, [{ name: 'a', startFrom: 'now' }, { name: 'b', startFrom: 'now' }])
        const from = await openOutput('a')
        await openShares(buffer, [{ name: 'a', startFrom: 'now' }, { name: 'b', startFrom: 'now' }])
        await append(numbered(0, 3), numbered(3, 3))
        const { cursor } = await readShipment(buffer, 'a', from, { maxEvents: 3 })
        await buffer.commit('a', cursor, [])
        expectBacklog([await backlogOf('a'), await backlogOf('b')], [3, 6])
      })

      test('a commit is durable, tells when, and never moves back', async () => {
        const from = await openOutput()
        await append(numbered(0, 3), numbered(3, 3))
        expect((await buffer.snapshot()).outputs[0]?.provenAt).toBe(0)
        const first = await readShipment(buffer, 'devo', from, { maxEvents: 3 })
        const second = await readShipment(buffer, 'devo', first.cursor)
        await buffer.commit('devo', second.cursor, [])
        await buffer.commit('devo', first.cursor, [])
        await reopen()
        expect(await openOutput()).toBe(second.cursor)
        expect(await backlogOf()).toBe(0)
        expect((await buffer.snapshot()).outputs[0]?.provenAt).toBeGreaterThan(0)
      })

      test('a commit of an output that was never opened is refused', async () => {
        await expect(buffer.commit('nobody', await openOutput(), [])).rejects.toThrow('nobody')
      })
    })

    describe('dead letters', () => {
      test('of an output are stored with its commit, those of the source with the unit', async () => {
        const from = await openOutput()
        await buffer.append(unitOf({ chunks: [numbered(0, 3)], deadLetters: [deadLetterOf('{"too":"deep"}', null)] }))
        const { cursor } = await readShipment(buffer, 'devo', from)
        const letters = [deadLetterOf('{"n":1}', 'devo'), deadLetterOf('{"n":2}', 'devo')]
        await buffer.commit('devo', cursor, letters)
        await reopen()
        const { outputs, sourceDeadLetters } = await buffer.snapshot()
        expect(outputs[0]?.deadLetters).toBe(2)
        expect(sourceDeadLetters).toBe(1)
        expect(letters[0]?.event.length).toBe(7)
      })
    })

    describe('waitBeyond', () => {
      test('resolves at once where something is there', async () => {
        const from = await openOutput()
        await append(numbered(0, 1))
        await buffer.waitBeyond('devo', from, new AbortController().signal)
      })

      test('resolves with the next append, for all who wait, and not before', async () => {
        const from = await openOutput()
        let woken = 0
        const signal = new AbortController().signal
        const waiting = [1, 2, 3].map(() => buffer.waitBeyond('devo', from, signal).then(() => (woken += 1)))
        await quiet(from)
        expect(woken).toBe(0)
        await append(numbered(0, 1))
        await Promise.all(waiting)
        const { cursor } = await readShipment(buffer, 'devo', from)
        const next = buffer.waitBeyond('devo', cursor, signal).then(() => (woken += 1))
        await quiet(cursor)
        expect(woken).toBe(3)
        await append(numbered(1, 1))
        await next
      })

      test('a unit without events wakes nobody', async () => {
        const from = await openOutput()
        let woken = false
        const stop = new AbortController()
        const waiting = buffer.waitBeyond('devo', from, stop.signal).then(() => (woken = true))
        await buffer.append(unitOf({ position: { settled: 9 } }))
        await quiet(from)
        expect(woken).toBe(false)
        stop.abort(new Error('enough'))
        await expect(waiting).rejects.toThrow('enough')
      })

      test('ends with the signal, and with the buffer', async () => {
        const from = await openOutput()
        await expect(buffer.waitBeyond('devo', from, AbortSignal.abort(new Error('before')))).rejects.toThrow('before')
        const stop = new AbortController()
        const aborted = buffer.waitBeyond('devo', from, stop.signal)
        stop.abort(new Error('during'))
        await expect(aborted).rejects.toThrow('during')
        const closed = buffer.waitBeyond('devo', from, new AbortController().signal)
        closed.catch(() => undefined)
        await buffer.close()
        await expect(closed).rejects.toThrow('closed')
      })
    })

    test('reads and waits leave no listener behind on a signal that lives long', async () => {
      const from = await openOutput()
      const { signal } = new AbortController()
      const waiting = buffer.waitBeyond('devo', from, signal)
      await append(numbered(0, 10), numbered(10, 10))
      await waiting
      await buffer.waitBeyond('devo', from, signal)
      await readShipment(buffer, 'devo', from, { signal })
      const stream = openRead(buffer, 'devo', from, { signal })
      stream.destroy()
      await once(stream, 'close')
      await settle()
      expect(getEventListeners(signal, 'abort')).toEqual([])
    })

    describe('quota log', () => {
      test('adds up by pool and minute, is durable, and forgets old minutes of its own pool', async () => {
        expect(await buffer.load('p1')).toEqual([])
        await buffer.count('p1', 100, 0)
        await buffer.count('p1', 100, 0)
        await buffer.count('p1', 101, 0)
        await buffer.count('p2', 100, 0)
        await reopen()
        expect(await buffer.load('p1')).toEqual([[100, 2], [101, 1]])
        await buffer.count('p1', 102, 101)
        expect(await buffer.load('p1')).toEqual([[101, 1], [102, 1]])
        expect((await buffer.snapshot()).pools).toEqual([
          { pool: 'p1', minutes: [[101, 1], [102, 1]] },
          { pool: 'p2', minutes: [[100, 1]] },
        ])
      })

      test('counts requests that are sent at the same time', async () => {
        await Promise.all(Array.from({ length: 10 }, () => buffer.count('p', 1, 0)))
        expect(await buffer.load('p')).toEqual([[1, 10]])
      })
    })

    describe('close', () => {
      test('may come twice, waits for what runs, and refuses what comes later', async () => {
        const from = await openOutput()
        const appending = append(numbered(0, 3))
        await Promise.all([buffer.close(), buffer.close()])
        await appending
        await expect(append(numbered(3, 3))).rejects.toThrow('closed')
        await expect(readShipment(buffer, 'devo', from)).rejects.toThrow('closed')
        await expect(buffer.waitBeyond('devo', from, new AbortController().signal)).rejects.toThrow('closed')
        await open()
        expect((await readShipment(buffer, 'devo', from)).events).toEqual(numbered(0, 3))
      })

      test('refuses who would own the inputs or take a share; what is given back late is no error', async () => {
        const share = (await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])).get('devo')
        await buffer.close()
        const { signal } = new AbortController()
        await expect(buffer.ownInputs(signal)).rejects.toThrow('closed')
        await expect(buffer.openOutputs([{ name: 'devo', startFrom: 'now' }])).rejects.toThrow('closed')
        await expect(buffer.takeShare('devo', signal)).rejects.toThrow('closed')
        await share?.release()
        await inputs.release()
      })
    })

    describe('inputs', () => {
      test('are owned until they are given back, which may come twice, and can be owned again', async () => {
        await append(numbered(0, 3))
        expect(inputs.lost.aborted).toBe(false)
        await Promise.all([inputs.release(), inputs.release()])
        await inputs.release()
        inputs = await buffer.ownInputs(new AbortController().signal)
        expect(inputs.lost.aborted).toBe(false)
        await append(numbered(3, 3))
        expect((await readShipment(buffer, 'devo', await openOutput())).events).toEqual(numbered(0, 6))
      })

      test('go to one buffer after the other, and what one has appended the next one finds', async () => {
        await buffer.append(unitOf({ position: { settled: 70 } }))
        await inputs.release()
        await reopen()
        expect((await buffer.loadService(INPUT, SERVICE))?.settled).toBe(70)
        await buffer.append(unitOf({ position: { settled: 80 } }))
        expect((await buffer.loadService(INPUT, SERVICE))?.settled).toBe(80)
      })

      test('are not waited for longer than the signal says, and leave no listener on it', async () => {
        await inputs.release()
        await expect(buffer.ownInputs(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
        const { signal } = new AbortController()
        inputs = await buffer.ownInputs(signal)
        await append(numbered(0, 1))
        expect(getEventListeners(signal, 'abort')).toEqual([])
      })
    })

    describe('shares', () => {
      const { signal } = new AbortController()

      test('stay while nobody else comes, and may be given back twice', async () => {
        const share = (await openShares(buffer, [{ name: 'devo', startFrom: 'now' }])).get('devo')
        await append(numbered(0, 3))
        const { cursor } = await readShipment(buffer, 'devo', share?.cursor ?? '')
        await buffer.commit('devo', cursor, [])
        expect([share?.ending.aborted, share?.lost.aborted, share?.missedEvents]).toEqual([false, false, 0])
        await Promise.all([share?.release(), share?.release()])
        await share?.release()
      })

      test('that is taken again begins behind what was committed, and not behind what was only read', async () => {
        const from = await openOutput()
        await append(numbered(0, 3), numbered(3, 3))
        const first = await readShipment(buffer, 'devo', from, { maxEvents: 3 })
        await readShipment(buffer, 'devo', first.cursor)
        await buffer.commit('devo', first.cursor, [])
        const cursor = await openOutput()
        expect(cursor).toBe(first.cursor)
        expect((await readShipment(buffer, 'devo', cursor)).events).toEqual(numbered(3, 3))
      })

      test('are taken of outputs that are open, and not longer than the signal says', async () => {
        await buffer.openOutputs([{ name: 'devo', startFrom: 'now' }])
        await expect(buffer.takeShare('nobody', signal)).rejects.toThrow('nobody')
        await expect(buffer.takeShare('devo', AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
        const share = await buffer.takeShare('devo', signal)
        expect(getEventListeners(signal, 'abort')).toEqual([])
        await share.release()
      })

      test('of an output that is on tell what it has missed: nothing', async () => {
        await openShares(buffer, [{ name: 'a', startFrom: 'now' }, { name: 'b', startFrom: 'oldest' }])
        await append(numbered(0, 3))
        expect((await buffer.snapshot()).outputs.map(({ name, missedEvents }) => [name, missedEvents])).toEqual([['a', 0], ['b', 0]])
      })
    })

    test('there is room in an empty buffer', async () => {
      await buffer.assertRoom()
      const { sizeInBytes, maxSizeInBytes } = await buffer.snapshot()
      expect(sizeInBytes).toBeLessThan(maxSizeInBytes)
    })

    test('the time of a pull is kept to the millisecond, also far in the past', async () => {
      const from = await openOutput()
      await buffer.append(unitOf({ chunks: [numbered(0, 1)], pulledAt: 24 * HOUR_MS + 1 }))
      expect((await readShipment(buffer, 'devo', from)).batches[0]?.pulledAt).toBe(24 * HOUR_MS + 1)
    })
  })
}
