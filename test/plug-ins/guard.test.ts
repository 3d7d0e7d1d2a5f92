import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createPlugInSink } from '../../src/plug-ins/sink.ts'
import { createPlugInTransform } from '../../src/plug-ins/transform.ts'
import { batchesOf, batchOf } from '../contract/batches.ts'
import { shipAll } from '../contract/sink-suite.ts'
import { ManualClock } from '../sinks/manual-clock.ts'
import { context, plugIn } from './plug-in.ts'

/** A sink whose `ship` has this body, behind its guard. */
async function sinkWith(ship: string, others = '', clock = new ManualClock()) {
  const code = `
    import { Writable } from 'node:stream'
    export const createSink = (options, tools) => ({
      maxShipmentsInFlight: 1, async check() {}, async close() {}, ${others}
      ship({ signal, reject }) { ${ship} },
    })`
  const sink = await createPlugInSink(await plugIn(code), context(clock))
  onTestFinished(async () => sink.close())
  return { sink, clock }
}

const { batches } = batchesOf('a', 50)
const READ = 'for await (const batch of batches) batch;'

/** Lets time go by until the work has ended. */
async function passing<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  const state = { isOver: false }
  const end = (): boolean => (state.isOver = true)
  work.then(end, end)
  for (let turns = 0; !state.isOver && turns < 10_000; turns += 1) {
    await turn()
    if (turns % 100 === 99) clock.advance(60_000)
  }
  return work
}

describe('a sink that is a plug-in', () => {
  it('delivers as a function and as a Writable, and leaves no timer', async () => {
    for (const ship of [
      `return async (batches) => { ${READ} }`,
      'return new Writable({ objectMode: true, write(batch, _encoding, done) { setImmediate(done) }, final(done) { setImmediate(done) } })',
    ]) {
      const { sink, clock } = await sinkWith(ship)
      await shipAll(sink, batches)
      await shipAll(sink, [])
      await sink.check(new AbortController().signal)
      await sink.close()
      expect(clock.pendingTimers).toBe(0)
    }
  })

  it.each([
    ['throws at once', `throw new Error('broken')`, 'plug-in ./own.mjs: broken'],
    ['throws something else', `throw 'a text'`, 'plug-in ./own.mjs: a text'],
    ['throws later', `return async (batches) => { ${READ} throw new Error('broken') }`, 'plug-in ./own.mjs: broken'],
    ['has a bug', `return async (batches) => { for await (const batch of batches) batch.nothing.here }`, `plug-in ./own.mjs: Cannot read properties of undefined (reading 'here')`],
    ['gives nothing', 'return undefined', 'neither a Writable nor a function'],
    ['gives a promise', 'return Promise.resolve()', 'neither a Writable nor a function'],
    ['says delivered before it has read', 'return async () => {}', 'before it had taken all events'],
    ['says delivered in the middle', 'return async (batches) => { for await (const batch of batches) return batch }', 'before it had taken all events'],
    ['fails in the middle as a Writable', `return new Writable({ objectMode: true, write(batch, _encoding, done) { done(new Error('broken')) } })`, 'plug-in ./own.mjs: broken'],
    ['calls back twice for a write', 'return new Writable({ objectMode: true, write(batch, _encoding, done) { setImmediate(() => { done(); done() }) } })', 'Callback called multiple times'],
    ['destroys its Writable', 'return new Writable({ objectMode: true, write() { this.destroy() } })', 'plug-in ./own.mjs: Premature close'],
    ['refuses an event that is not there', `return async (batches) => { for await (const batch of batches) reject(batch, 1.5, 'x') }`, 'plug-in ./own.mjs: no such event'],
  ])('and %s fails its shipment with its name', async (_name, ship, message) => {
    const { sink, clock } = await sinkWith(ship)
    const refuse = (): never => {
      throw new RangeError('no such event')
    }
    const delivery = sink.ship({ signal: new AbortController().signal, reject: refuse })
    if (typeof delivery !== 'function') throw new Error('a guard gives a function')
    await expect(delivery(Readable.from(batches, { highWaterMark: 1 }))).rejects.toThrow(message)
    expect(clock.pendingTimers).toBe(0)
  })

  it('and calls back twice at its end, or fails behind it, ends nothing but itself', async () => {
    for (const behind of ['done()', `this.destroy(new Error('too late'))`, `this.emit('error', new Error('too late'))`]) {
      const { sink } = await sinkWith(
        `return new Writable({ objectMode: true, write(batch, _encoding, done) { done() }, final(done) { done(); setImmediate(() => { ${behind} }) } })`,
      )
      await shipAll(sink, batches)
      // An error that nobody takes would end the process now.
      for (let turns = 0; turns < 5; turns += 1) await turn()
    }
  })

  it.each([
    ['never asks for events', 'return () => new Promise(() => {})'],
    ['never ends', `return async (batches) => { ${READ} await new Promise(() => {}) }`],
    ['stops in the middle', 'return async (batches) => { for await (const batch of batches) await new Promise(() => {}) }'],
    ['never calls back', 'return new Writable({ objectMode: true, write() {} })'],
    ['never calls back, and cannot be destroyed', 'return new Writable({ objectMode: true, write() {}, destroy() {} })'],
    ['never calls back at its end', 'return new Writable({ objectMode: true, write(batch, _encoding, done) { done() }, final() {} })'],
  ])('and %s is given up after ten minutes, at once when it is told to, and when it is closed', async (_name, ship) => {
    const { sink, clock } = await sinkWith(ship)
    const before = clock.now()
    await expect(passing(clock, shipAll(sink, batches))).rejects.toThrow('plug-in ./own.mjs has neither taken the next events nor ended its shipment for 10 minutes')
    expect(clock.now() - before).toBeGreaterThanOrEqual(600_000)

    const abort = new AbortController()
    const shipment = expect(shipAll(sink, batches, abort.signal)).rejects.toThrow('given up')
    await turn()
    abort.abort(new Error('given up'))
    await shipment

    const closed = expect(shipAll(sink, batches)).rejects.toThrow('closed')
    await turn()
    await sink.close()
    await closed
    expect(clock.pendingTimers).toBe(0)
  })

  it('is not given up while it waits for events', async () => {
    const { sink, clock } = await sinkWith(`return async (batches) => { ${READ} }`)
    async function* slow() {
      for (const batch of batches.slice(0, 3)) {
        await turn()
        clock.advance(3_600_000)
        yield batch
      }
    }
    const delivery = sink.ship({ signal: new AbortController().signal, reject: () => undefined })
    if (typeof delivery !== 'function') throw new Error('a guard gives a function')
    await delivery(slow())
  })

  it('has a minute for its check, and five seconds to close', async () => {
    const { sink, clock } = await sinkWith('', 'check: () => new Promise(() => {}), close: () => new Promise(() => {}),')
    await expect(passing(clock, sink.check(new AbortController().signal))).rejects.toThrow('plug-in ./own.mjs: its check did not end within 60 s')
    await passing(clock, sink.close())
    expect(clock.pendingTimers).toBe(0)
  })

  it('whose check or close throws is named, or left behind', async () => {
    const { sink } = await sinkWith('', `check() { throw new Error('no route') }, close() { throw new Error('no') },`)
    await expect(sink.check(new AbortController().signal)).rejects.toThrow('plug-in ./own.mjs: no route')
    await sink.close()
  })
})

describe('a transform that is a plug-in', () => {
  const batch = () => batchOf(['{"a":1}', '{"a":2}'])

  it.each([
    ['the batch itself', '(batch) => batch', '{"a":1}\n{"a":2}\n'],
    ['nothing', '() => null', null],
    ['no lines', '(batch) => ({ ...batch, lines: new Uint8Array(), fingerprints: new Uint8Array() })', null],
    ['fewer lines', '(batch) => ({ lines: batch.lines.slice(0, 8), fingerprints: batch.fingerprints.slice(0, 16) })', '{"a":1}\n'],
  ])('may give %s', async (_name, transform, lines) => {
    const result = (await createPlugInTransform(await plugIn(`export const createTransform = () => ${transform}`), context()))(batch(), () => undefined)
    expect(result === null ? null : Buffer.from(result.lines).toString()).toBe(lines)
    if (result !== null) expect(result).toMatchObject({ inputId: 'input-1', service: 'clicksBlocked' })
  })

  it.each([
    ['a promise', 'async (batch) => batch', 'it gave a promise'],
    ['a promise that fails', `async () => { throw new Error('x') }`, 'it gave a promise'],
    ['undefined', '() => undefined', 'it gave neither a batch nor null'],
    ['text', `() => '{}'`, 'it gave neither a batch nor null'],
    ['lines without fingerprints', '(batch) => ({ lines: batch.lines })', 'it gave neither a batch nor null'],
    ['more fingerprints than lines', '(batch) => ({ ...batch, lines: batch.lines.slice(0, 8) })', 'it gave 1 lines and 32 bytes of fingerprints'],
    ['half a line', '(batch) => ({ ...batch, lines: batch.lines.slice(0, -1) })', 'every line ends with a line feed'],
    ['half of its only line', '(batch) => ({ lines: batch.lines.slice(0, 4), fingerprints: batch.fingerprints.slice(0, 16) })', 'it gave 0 lines and 16 bytes'],
    ['the batch itself with other lines in it', '(batch) => Object.assign(batch, { lines: batch.lines.slice(0, 8) })', 'it gave 1 lines and 32 bytes'],
    ['an error', `() => { throw new Error('broken') }`, 'plug-in ./own.mjs: broken'],
  ])('that gives %s fails the shipment with its name', async (_name, transform, message) => {
    const guarded = await createPlugInTransform(await plugIn(`export const createTransform = () => ${transform}`), context())
    expect(() => guarded(batch(), () => undefined)).toThrow(message)
    expect(() => guarded(batch(), () => undefined)).toThrow('plug-in ./own.mjs')
  })
})
