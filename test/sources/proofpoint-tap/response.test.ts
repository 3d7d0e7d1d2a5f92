import { Readable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countEvents } from '../../../src/pipeline/event.ts'
import { UNIT_MAX_BYTES, UNIT_MAX_EVENTS, type Window } from '../../../src/pipeline/unit.ts'
import { FingerprintTable } from '../../../src/sources/proofpoint-tap/fingerprints.ts'
import { readResponse } from '../../../src/sources/proofpoint-tap/response.ts'
import { cutAt, HOUR, linesOf, pullOf, read, split16, whiteSpace, writeJson, writtenEvent } from './response-support.ts'

const body = (events: readonly string[], array = 'a'): string => `{"queryEndTime":"2026-11-20T04:00:00Z","${array}":[${events.join(',')}]}`
const bytewise = (text: string | Uint8Array): Uint8Array[] => [...Buffer.from(text)].map((byte) => Uint8Array.of(byte))

describe('events', () => {
  it('arrive byte for byte, white space between tokens aside, however the body is cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(writtenEvent, { maxLength: 6 }), whiteSpace, fc.array(fc.nat(), { maxLength: 12 }), async (events, space, places) => {
        const lines = events.map((event) => writeJson(event))
        const bytes = Buffer.from(`${space()}{${space()}"a"${space()}:[${events.map((event) => `${space()}${writeJson(event, space)}${space()}`).join(',')}${space()}]}${space()}`)
        for (const pieces of [[bytes], cutAt(bytes, places), bytewise(bytes)]) {
          const outcome = await read(pieces)
          expect(outcome.lines()).toEqual(lines)
          expect(outcome.summary).toMatchObject({ received: lines.length, duplicates: 0, invalidUtf8: 0, bytes: bytes.length })
        }
      }),
      { numRuns: 150 },
    )
  })

  it('keep numbers, escapes, unknown members and the order of keys', async () => {
    const event = '{"z":12345678901234567890,"a":0.0,"e":"\\u00e9\\ud800\\/","é":"é€😀","__proto__":{"b":1E+2},"a":1}'
    expect((await read([body([event])])).lines()).toEqual([event])
  })

  it('keep a line in one line', async () => {
    const { lines } = await read(['{"a":[{\n  "x": "y\\n",\r\n\t"l": [ 1 , { } ]\n}]}'])
    expect(lines()).toEqual(['{"x":"y\\n","l":[1,{}]}'])
  })

  it('have bytes that are not UTF-8 replaced by U+FFFD and counted, cut anywhere', async () => {
    const broken = Buffer.concat([Buffer.from('{"s":"é'), Buffer.from([0xc3, 0x28, 0xed, 0xa0, 0x80, 0xff]), Buffer.from('"},{"s":"é"},{ "s":"'), Buffer.from([0xe2, 0x82]), Buffer.from('"}')])
    const bytes = Buffer.concat([Buffer.from('{"a":['), broken, Buffer.from(']}')])
    for (const pieces of [[bytes], bytewise(bytes)]) {
      const outcome = await read(pieces)
      expect(outcome.lines()).toEqual(['{"s":"é\ufffd(\ufffd\ufffd\ufffd\ufffd"}', '{"s":"é"}', '{"s":"\ufffd"}'])
      expect(outcome.summary.invalidUtf8).toBe(2)
      expect(outcome.deadLetters).toEqual([])
    }
  })

  it('come in parts that fit a unit, the next body piece not asked for before a part is taken', async () => {
    const events = Array.from({ length: 25_000 }, (_, n) => `{"n":${n}}`)
    let asked = 0
    const pieces = cutAt(Buffer.from(body(events)), Array.from({ length: 20 }, (_, n) => n * 16_384))
    expect(pieces.length).toBeGreaterThan(15)
    const source = Readable.from(
      (function* () {
        for (const piece of pieces) {
          asked += 1
          yield piece
        }
      })(),
      { highWaterMark: 1 },
    )
    const parts = readResponse(source, { arrays: new Map([['a', { pull: pullOf('a'), seen: new FingerprintTable() }]]), window: HOUR, now: Date.now })
    const first = await parts.next()
    const askedAtFirst = asked
    expect(askedAtFirst).toBeLessThan(pieces.length)
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    // The stream itself holds one piece ready.
    expect(asked).toBeLessThanOrEqual(askedAtFirst + 1)
    if (first.done === true) throw new Error('no part came')
    expect(first.value.events).toBe(UNIT_MAX_EVENTS)
    const lines = linesOf([first.value])
    for await (const part of parts) lines.push(...linesOf([part]))
    expect(lines).toEqual(events)
  })

  it('come in parts of at most 4 MiB, a larger one alone', async () => {
    const sizes = [2_000_000, 2_000_000, 500_000, 6_000_000, 30]
    const events = sizes.map((size, n) => `{"n":${n},"x":"${'y'.repeat(size)}"}`)
    const { parts, lines } = await read([body(events)])
    expect(lines()).toEqual(events)
    expect(parts.map((part) => part.events)).toEqual([2, 1, 1, 1])
    for (const part of parts) {
      const bytes = part.chunks.reduce((sum, chunk) => sum + chunk.lines.length, 0)
      expect(part.events === 1 || bytes <= UNIT_MAX_BYTES).toBe(true)
      expect(part.chunks.reduce((sum, chunk) => sum + countEvents(chunk), 0)).toBe(part.events)
    }
  })

  it('go to their arrays, each with its own pull and table; unknown arrays are ignored', async () => {
    const text = '{"a":[{"n":1}],"x":[{"n":2},3],"nested":{"a":[{"n":9}]},"b":[{"n":1},{"n":1}],"c":null}'
    for (const pieces of [[text], bytewise(text)]) {
      const { parts, summary } = await read(pieces, { arrays: ['a', 'b', 'c'] })
      expect(parts.map((part) => [part.array, part.events])).toEqual([['a', 1], ['b', 2]])
      expect(summary.received).toBe(3)
      expect(summary.arrays.get('b')).toEqual({ received: 2, duplicates: 0, invalidUtf8: 0 })
      expect(summary.arrays.get('c')).toEqual({ received: 0, duplicates: 0, invalidUtf8: 0 })
    }
  })

  it('of an array that comes twice all arrive', async () => {
    expect((await read(['{"a":[{"n":1}],"a":[{"n":2}]}'])).lines()).toEqual(['{"n":1}', '{"n":2}'])
  })

  it('are tolerated behind a byte order mark', async () => {
    expect((await read(['\ufeff{"a":[{}]}'])).lines()).toEqual(['{}'])
  })

  it('are read from text pieces and from views into larger memory', async () => {
    const source = Readable.from([body(['{"s":"é"}'])])
    expect((await read(source)).lines()).toEqual(['{"s":"é"}'])
    const pool = Buffer.from(`xxxxx${body(['{"n":1}'])}xxx`)
    expect((await read([pool.subarray(5, -3)])).lines()).toEqual(['{"n":1}'])
  })

  it('leave no part where there is none', async () => {
    const { parts, summary } = await read(['{"a":[],"queryEndTime":"2026-11-20T04:00:00Z"}'])
    expect(parts).toEqual([])
    expect(summary).toMatchObject({ received: 0, queryEndTime: Date.UTC(2026, 10, 20, 4) })
  })
})

describe('fingerprints', () => {
  const event = '{"id":1,"messageParts":[{"md5":"x","sha256":"y"},{"md5":"a","sha256":"b"}],"threatsInfoMap":[{"threat":"t"},{"threat":"s"}]}'
  const reordered = '{ "threatsInfoMap":[{"threat":"s"},{"threat":"t"}], "messageParts":[{"sha256":"b","md5":"a"},{"md5":"x","sha256":"y"}],"id":1}'

  it('filter what another response showed, also in other orders and with other white space', async () => {
    const seen = new FingerprintTable()
    const first = await read([body([event])], { seen })
    const second = await read([body([reordered])], { seen, window: { from: 5, to: 6 } })
    expect([first.lines().length, second.lines().length]).toEqual([1, 0])
    expect(second.summary).toMatchObject({ received: 1, duplicates: 1 })
    expect(second.parts).toEqual([])
  })

  it('let what differs in any value through', async () => {
    const seen = new FingerprintTable()
    for (const other of ['{"n":0}', '{"n":0.0}', '{"n":12345678901234567890}', '{"n":12345678901234567891}', '{"n":"0"}', '{"n":[0,1]}', '{"n":[1,0]}', '{"n":0,"m":1}']) {
      expect((await read([body([other])], { seen })).lines()).toEqual([other])
    }
  })

  it('let equal events of one response all through, and of the next only what is beyond', async () => {
    const seen = new FingerprintTable()
    expect((await read([body([event, event, reordered])], { seen })).lines()).toHaveLength(3)
    expect((await read([body([reordered, event, event])], { seen })).lines()).toHaveLength(0)
    expect((await read([body([event, event, event, event])], { seen })).lines()).toHaveLength(1)
    expect((await read([body([event])], { seen })).lines()).toHaveLength(0)
  })

  it('are handed out, so that a table made of them knows the same', async () => {
    const events = Array.from({ length: 12_000 }, (_, n) => `{"n":${n % 9000}}`)
    const { parts, fingerprints } = await read([body([...events, '5', '[]'])])
    expect(parts.length).toBeGreaterThan(1)
    expect(new Set(fingerprints).size).toBe(12_002)
    expect(parts.flatMap(({ chunks }) => chunks.flatMap((chunk) => split16(chunk.fingerprints)))).toHaveLength(12_000)
    const restarted = new FingerprintTable(parts.map((part) => ({ window: HOUR, fingerprints: part.fingerprints })))
    const again = await read([body([...events, '5', '[]', '{"new":1}'])], { seen: restarted })
    expect(again.lines()).toEqual(['{"new":1}'])
    expect(again.deadLetters).toEqual([])
  })

  it('belong to the window that showed them first', async () => {
    const seen = new FingerprintTable()
    const later: Window = { from: HOUR.to, to: HOUR.to + 1 }
    await read([body(['{"n":1}'])], { seen })
    await read([body(['{"n":1}', '{"n":2}'])], { seen, window: later })
    expect(seen.windows()).toEqual([HOUR, later])
    seen.forget([later])
    expect((await read([body(['{"n":1}', '{"n":2}'])], { seen, window: later })).lines()).toEqual(['{"n":2}'])
  })
})

describe('elements that are no events', () => {
  it.each([
    ['a number', '5', 'not an object'],
    ['a string', '"x"', 'not an object'],
    ['null', 'null', 'not an object'],
    ['an array', '[{"n":1}]', 'not an object'],
    ['rubbish', 'rubbish', 'not an object'],
    ['a bad number', '{"n":01}', 'a number that begins with 0'],
    ['a wrong bracket', '{"n":1]', 'where a comma or the end of an object should come'],
    ['a missing value', '{"n":}', 'where a value should come'],
    ['another quote', "{'n':1}", 'where a key should come'],
    ['a control character', '{"n":"\u0001"}', 'a control character'],
    ['one level too many', `{"n":${'['.repeat(64)}${']'.repeat(64)}}`, 'deeper than 64 levels'],
    ['ten thousand levels', `{"n":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, 'deeper than 64 levels'],
  ])('as %s are a dead letter once, and the rest goes on', async (_, element, reason) => {
    const text = body(['{"n":1}', element, '{"n":2}'])
    for (const pieces of [[text], bytewise(text)]) {
      const seen = new FingerprintTable()
      const first = await read(pieces, { seen })
      expect(first.lines()).toEqual(['{"n":1}', '{"n":2}'])
      expect(first.deadLetters).toHaveLength(1)
      expect(first.deadLetters[0]).toMatchObject({ ...pullOf('a'), output: null, at: 42, size: Buffer.byteLength(element) })
      expect(first.deadLetters[0]?.reason).toContain(reason)
      expect(Buffer.from(first.deadLetters[0]?.event ?? []).toString()).toBe(element)
      expect(first.fingerprints).toContain(Buffer.from(first.deadLetters[0]?.fingerprint ?? []).toString('hex'))
      expect(first.summary).toMatchObject({ received: 3, duplicates: 0 })
      const second = await read(pieces, { seen })
      expect(second.parts).toEqual([])
      expect(second.summary).toMatchObject({ received: 3, duplicates: 3 })
    }
  })

  it('of more than 8 MiB are a dead letter with head and size, in bounded memory', async () => {
    const seen = new FingerprintTable()
    const huge = (): Readable =>
      Readable.from(
        (function* () {
          yield Buffer.from('{"a":[{"n":1},{"x":"')
          for (let n = 0; n < 320; n += 1) yield Buffer.alloc(65_536, 'y')
          yield Buffer.from('"},{"n":2}]}')
        })(),
      )
    const { lines, deadLetters } = await read(huge(), { seen })
    expect(lines()).toEqual(['{"n":1}', '{"n":2}'])
    expect(deadLetters).toHaveLength(1)
    expect(deadLetters[0]?.size).toBe(320 * 65_536 + 8)
    expect(deadLetters[0]?.reason).toMatch(/larger than 8 MiB: 20971528 bytes/)
    expect(deadLetters[0]?.event.length).toBe(65_536)
    expect(Buffer.from(deadLetters[0]?.event.subarray(0, 8) ?? []).toString()).toBe('{"x":"yy')
    expect((await read(huge(), { seen })).summary.duplicates).toBe(3)
  })

  it('of just 8 MiB are events', async () => {
    const event = `{"x":"${'y'.repeat(8 * 1024 * 1024 - 8)}"}`
    expect((await read([body([event])])).lines()).toEqual([event])
  })

  it('that grow beyond 8 MiB by U+FFFD are a dead letter as they came', async () => {
    const event = Buffer.concat([Buffer.from('{"x":"'), Buffer.alloc(4 * 1024 * 1024, 0xff), Buffer.from('"}')])
    const { deadLetters, parts } = await read([Buffer.from('{"a":['), event, Buffer.from(']}')])
    expect(parts.map((part) => part.events)).toEqual([0])
    expect(deadLetters[0]?.size).toBe(event.length)
    expect(deadLetters[0]?.reason).toContain('larger than 8 MiB once')
  })
})
