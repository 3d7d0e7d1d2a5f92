import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { eventsOf } from '../../src/pipeline/event.ts'
import { encodeLines, linePrefix } from '../../src/sinks/line.ts'
import { parseDevoLine } from '../../src/simulator/devo-line.ts'
import { batchOf } from '../contract/batches.ts'

const PULLED_AT = Date.UTC(2023, 5, 27, 10, 0, 0, 123)
const PREFIX = linePrefix(PULLED_AT, 'collector-1', 'mail.proofpoint.tapsiem_v2.clicksblocked')
const encode = (events: readonly string[], environment: string | null = null): string =>
  encodeLines(batchOf(events, { pulledAt: PULLED_AT, environment }), PREFIX).toString()

describe('the line', () => {
  test('is exactly what the contract says', () => {
    expect(encode(['{"id": "a1","n":0.0}'])).toBe(
      '<14>2023-06-27 10:00:00.123 collector-1 mail.proofpoint.tapsiem_v2.clicksblocked: {"id": "a1","n":0.0,"@devo_pulling_id":"1687860000123"}\n',
    )
  })

  test('has the environment last, where one is set, as JSON', () => {
    expect(encode(['{"a":1}'], 'pr"od')).toMatch(/: \{"a":1,"@devo_pulling_id":"1687860000123","@devo_environment":"pr\\"od"\}\n$/)
  })

  test('of an event without members has no comma too many', () => {
    expect(encode(['{}', '{"a":1}', '{}']).split('\n').map((line) => line.replace(/^.*?: /, ''))).toEqual([
      '{"@devo_pulling_id":"1687860000123"}', '{"a":1,"@devo_pulling_id":"1687860000123"}', '{"@devo_pulling_id":"1687860000123"}', '',
    ])
  })

  test('leaves a pull id or environment of the event its own; only a top-level one counts', () => {
    const own = '{"@devo_pulling_id":"7","a":1}'
    const nested = '{"a":{"@devo_pulling_id":"7"}}'
    const asText = '{"a":"\\"@devo_pulling_id\\":"}'
    const environment = '{"@devo_environment":"test"}'
    const both = '{"@devo_environment":"test","@devo_pulling_id":"7"}'
    expect(encode([own, nested, asText, '{}', environment, both], 'prod').split('\n').map((line) => line.replace(/^.*?: /, ''))).toEqual([
      '{"@devo_pulling_id":"7","a":1,"@devo_environment":"prod"}',
      '{"a":{"@devo_pulling_id":"7"},"@devo_pulling_id":"1687860000123","@devo_environment":"prod"}',
      '{"a":"\\"@devo_pulling_id\\":","@devo_pulling_id":"1687860000123","@devo_environment":"prod"}',
      '{"@devo_pulling_id":"1687860000123","@devo_environment":"prod"}',
      '{"@devo_environment":"test","@devo_pulling_id":"1687860000123"}',
      both,
      '',
    ])
    expect(encode([own])).toBe(`${PREFIX.toString()}${own}\n`)
  })

  test('takes an event of 8 MiB', () => {
    const large = JSON.stringify({ text: 'é'.repeat(4 * 1024 * 1024 - 10) })
    const small = '{"a":1}'
    const [first, second] = encode([large, small]).split('\n')
    expect(first?.length).toBe(PREFIX.length + large.length + ',"@devo_pulling_id":"1687860000123"'.length)
    expect(second).toBe(`${PREFIX.toString()}{"a":1,"@devo_pulling_id":"1687860000123"}`)
  })

  test('cannot be broken in two by a host name', () => {
    expect(linePrefix(PULLED_AT, 'my host\n2', 'a.b.c.d').toString()).toBe('<14>2023-06-27 10:00:00.123 my-host-2 a.b.c.d: ')
  })

  test('without a prefix is ndjson', () => {
    expect(encodeLines(batchOf(['{"a":1}', '{}'], { pulledAt: 5 }), Buffer.alloc(0)).toString()).toBe(
      '{"a":1,"@devo_pulling_id":"5"}\n{"@devo_pulling_id":"5"}\n',
    )
  })

  test('of any event keeps its bytes', () => {
    const event = fc.dictionary(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constant('@devo_pulling_id')), fc.jsonValue()).map((value) => JSON.stringify(value))
    fc.assert(fc.property(fc.array(event, { minLength: 1, maxLength: 20 }), (events) => {
      const batch = batchOf(events, { pulledAt: PULLED_AT })
      const lines = [...eventsOf({ lines: encodeLines(batch, PREFIX), fingerprints: batch.fingerprints })]
      expect(lines).toHaveLength(events.length)
      lines.forEach((line, index) => {
        const parsed = parseDevoLine(line)
        if (typeof parsed === 'string') throw new Error(parsed)
        const source = events[index] ?? ''
        const original = JSON.parse(source) as Record<string, unknown>
        expect(parsed.json.startsWith(source.slice(0, -1))).toBe(true)
        expect(parsed.event).toEqual({ '@devo_pulling_id': '1687860000123', ...original })
      })
    }))
  })

  test('a batch whose last line has no end is a bug, not an endless loop', () => {
    expect(() => encodeLines({ ...batchOf(['{"a":1}']), lines: Buffer.from('{"a":1}') }, PREFIX)).toThrow('no end')
  })
})
