import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dataView } from '../../../src/sources/proofpoint-tap/bytes.ts'
import { CanonicalWriter } from '../../../src/sources/proofpoint-tap/canonical.ts'
import { MAX_DEPTH, Scanner } from '../../../src/sources/proofpoint-tap/scanner.ts'
import { whiteSpace, writeJson, type Written, writtenEvent, writtenValue } from './response-support.ts'

const scanner = new Scanner()
const writer = new CanonicalWriter()

function bytesOf(text: string | Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text))
}

/** Scans the text alone, and in the middle of other bytes, which must not make a difference. */
function accepts(text: string | Uint8Array): boolean {
  const bytes = bytesOf(text)
  const alone = scanner.scan(bytes, dataView(bytes), 0, bytes.length) === bytes.length
  const around = Uint8Array.from(Buffer.concat([Buffer.from('{"x'), bytes, Buffer.from('}],"')]))
  const inside = scanner.scan(around, dataView(around), 3, 3 + bytes.length) === 3 + bytes.length
  expect(inside).toBe(alone)
  return alone
}

function isObject(text: string): boolean {
  try {
    const parsed: unknown = JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
  } catch {
    return false
  }
}

function canonical(text: string): string {
  const bytes = bytesOf(text)
  const view = dataView(bytes)
  expect(scanner.scan(bytes, view, 0, bytes.length)).toBe(bytes.length)
  return Buffer.from(writer.write(bytes, view, 0, bytes.length, scanner.outline, scanner.root)).toString()
}

/** What canonical means, written plainly. */
function sorted(value: Written, level = 0): Written {
  if (typeof value === 'string') return value
  if ('elements' in value) return { elements: value.elements.map((element) => sorted(element, level + 1)) }
  const members = value.members.map(([key, member]): [string, Written] => {
    const inner = sorted(member, level + 1)
    if (level > 0 || typeof inner === 'string' || !('elements' in inner) || !['messageParts', 'threatsInfoMap'].includes(key)) return [key, inner]
    return [key, { elements: [...inner.elements].sort((a, b) => Buffer.compare(Buffer.from(writeJson(a)), Buffer.from(writeJson(b)))) }]
  })
  return { members: members.sort(([a], [b]) => Buffer.compare(Buffer.from(`${a}"`), Buffer.from(`${b}"`))) }
}

/** The same with the members of all objects and the elements of all arrays turned round. */
function reversed(value: Written): Written {
  if (typeof value === 'string') return value
  if ('elements' in value) return { elements: value.elements.map(reversed).reverse() }
  return { members: value.members.map(([key, member]): [string, Written] => [key, reversed(member)]).reverse() }
}

describe('validity', () => {
  it('agrees with JSON.parse on generated objects with white space anywhere', () => {
    fc.assert(
      fc.property(writtenEvent, whiteSpace, (event, space) => {
        expect(accepts(writeJson(event, space))).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it('agrees with JSON.parse on any value', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), writtenValue.map((value) => writeJson(value))), (text) => {
        expect(accepts(text)).toBe(isObject(text))
      }),
      { numRuns: 300 },
    )
  })

  it('agrees with JSON.parse on objects with a few bytes changed', () => {
    const byte = fc.oneof(fc.constantFrom(...Buffer.from('{}[]",:\\0123456789.-+eEtrufalsn \n\t\r/b')), fc.integer({ min: 0, max: 255 }))
    const change = fc.record({ at: fc.nat(), remove: fc.integer({ min: 0, max: 3 }), insert: fc.array(byte, { maxLength: 2 }) })
    let refused = 0
    let accepted = 0
    fc.assert(
      fc.property(writtenEvent, fc.array(change, { minLength: 1, maxLength: 3 }), (event, changes) => {
        const mutated = [...Buffer.from(writeJson(event))]
        for (const { at, remove, insert } of changes) mutated.splice(at % (mutated.length + 1), remove, ...insert)
        const text = Buffer.from(mutated)
        // An element begins and ends with a token.
        if (/^[ \t\r\n]|[ \t\r\n]$/.test(text.toString())) return
        const valid = isObject(text.toString())
        if (valid) accepted += 1
        else refused += 1
        expect(accepts(text)).toBe(valid)
      }),
      { numRuns: 3000 },
    )
    expect(Math.min(refused, accepted)).toBeGreaterThan(100)
  })

  it.each([
    '{"a":01}', '{"a":1.}', '{"a":.5}', '{"a":-}', '{"a":1e}', '{"a":1e+}', '{"a":+1}', '{"a":0x1}', '{"a":NaN}', '{"a":tru}', '{"a":truee}', '{"a":nulL}', '{"a":fals}',
    '{"a":1,}', '{,}', '{"a"}', '{"a":}', '{"a":1 2}', '{"a":[1,]}', '{"a":[,1]}', '{"a":[1 2]}', "{'a':1}", '{a:1}', '{"a":"\n"}', '{"a":"\u0000"}', '{"a\t":1}', '{"a":"\\x"}',
    '{"a":"\\u12g4"}', '{"a":"\\u123"}', '{"a":"\\"}', '{"a":"', '{"a":1', '{"a":[1}', '{"a":{]}', '{', '{"', '{"":', '{"":0', '', ' {}', '[]', '1', '"a"', 'null', '\ufeff{}', '{}{}', '{"a":1}x',
    '{"a":1\u00a0}', '{"a":1\f}',
  ])('refuses %j as JSON.parse does', (text) => {
    expect(isObject(text) && !text.startsWith(' ')).toBe(false)
    expect(accepts(text)).toBe(false)
  })

  it.each([
    '{}', '{"":0}', '{"a":-0}', '{"a":0.0}', '{"a":1E+5}', '{"a":12345678901234567890}', '{"a":1e999}', '{"a":"\\ud800"}', '{"a":"\\u0000"}', '{"a":"\u2028\u007f"}', '{"a":1,"a":2}', '{"a":[[],{},""]}',
    '{"\\"":"\\\\"}', '{"__proto__":1}', '{"a":"é€😀"}',
  ])('accepts %j as JSON.parse does', (text) => {
    expect(isObject(text)).toBe(true)
    expect(accepts(text)).toBe(true)
  })

  it('leaves invalid UTF-8 in strings to the reader', () => {
    expect(accepts(Buffer.from([...Buffer.from('{"a":"'), 0xff, 0xc3, ...Buffer.from('"}')]))).toBe(true)
    expect(accepts(Buffer.from([0x7b, 0xff, 0x7d]))).toBe(false)
  })

  it.each([['objects', '{"a":', '0', '}'], ['arrays', '[', '0', ']']])(`allows ${MAX_DEPTH} levels of %s, and not one more`, (_, open, inner, close) => {
    const nested = (levels: number): string => `{"a":${open.repeat(levels - 1)}${inner}${close.repeat(levels - 1)}}`
    expect(accepts(nested(MAX_DEPTH))).toBe(true)
    expect(accepts(nested(MAX_DEPTH + 1))).toBe(false)
    expect(scanner.problem).toContain('deeper than 64 levels')
  })

  it('refuses a million levels without a stack to lose', () => {
    expect(accepts(`{"a":${'['.repeat(1_000_000)}`)).toBe(false)
    expect(accepts('{"a":'.repeat(1_000_000))).toBe(false)
  })

  it.each([
    ['{"a":1,"b":tru}', 'at byte 11'],
    ['{"a":"x\u0001y"}', 'control character (0x01) inside a string (at byte 7)'],
    ['{"a":1', 'it ends where a comma or the end of an object should come (at byte 6)'],
    ["{'a':1}", '0x27 where a key should come (at byte 1)'],
  ])('says what is wrong with %j and where', (text, problem) => {
    accepts(text)
    const bytes = bytesOf(`xx${text}`)
    scanner.scan(bytes, dataView(bytes), 2, bytes.length)
    expect(scanner.problem).toContain(problem)
  })
})

describe('canonical bytes', () => {
  it('are the members in the order of their keys, the two arrays sorted, and all else as written', () => {
    fc.assert(
      fc.property(writtenEvent, (event) => {
        expect(canonical(writeJson(event))).toBe(writeJson(sorted(event)))
      }),
      { numRuns: 1000 },
    )
  })

  it('are the same for two events if and only if they differ in nothing but those orders', () => {
    const few = fc.oneof(fc.constantFrom<Written>('0', '0.0', '"x"'), fc.constant<Written>({ members: [['p', '1'], ['q', '2']] }), fc.constant<Written>({ members: [['q', '2'], ['p', '1']] }))
    const small = fc
      .array(fc.tuple(fc.constantFrom('a', 'b', 'messageParts', 'messagePart'), fc.oneof(few, fc.array(few, { maxLength: 2 }).map((elements) => ({ elements })))), { maxLength: 3 })
      .map((members): Written => ({ members }))
    let equal = 0
    let different = 0
    fc.assert(
      fc.property(small, small, fc.boolean(), (one, another, turned) => {
        const other = turned ? reversed(one) : another
        const same = writeJson(sorted(one)) === writeJson(sorted(other))
        if (same && writeJson(one) !== writeJson(other)) equal += 1
        if (!same && turned) different += 1
        expect(canonical(writeJson(one)) === canonical(writeJson(other))).toBe(same)
      }),
      { numRuns: 4000 },
    )
    expect(equal).toBeGreaterThan(100)
    expect(different).toBeGreaterThan(50)
  })

  it('do not depend on the order of members, of messageParts or of threatsInfoMap', () => {
    const one = '{"id":"1","messageParts":[{"md5":null,"sha256":"b"},{"sha256":"a","md5":"c"}],"threatsInfoMap":[{"threat":"y"},{"threat":"x","actors":[{"name":"n","id":1}]}]}'
    const other = '{"threatsInfoMap":[{"actors":[{"id":1,"name":"n"}],"threat":"x"},{"threat":"y"}],"messageParts":[{"md5":"c","sha256":"a"},{"md5":null,"sha256":"b"}],"id":"1"}'
    expect(canonical(other)).toBe(canonical(one))
  })

  it.each([
    ['numbers that a parser rounds to the same', '{"a":12345678901234567890}', '{"a":12345678901234567891}'],
    ['0.0 and 0', '{"a":0.0}', '{"a":0}'],
    ['an escape and the character', '{"a":"\\u0041"}', '{"a":"A"}'],
    ['the order of another array', '{"toAddresses":["x","y"]}', '{"toAddresses":["y","x"]}'],
    ['the order of messageParts further inside', '{"a":{"messageParts":[1,2]}}', '{"a":{"messageParts":[2,1]}}'],
    ['two values of one key', '{"a":1,"a":2}', '{"a":2,"a":1}'],
    ['a member that moved into a neighbour', '{"a":{"b":1,"c":2}}', '{"a":{"b":1},"c":2}'],
    ['null and absent', '{"a":null,"b":1}', '{"b":1}'],
  ])('tell %s apart', (_, one, other) => {
    expect(canonical(one)).not.toBe(canonical(other))
  })

  it.each([63, 64, 65, 1000])('sort %i members, whatever was sorted before', (count) => {
    const members = Array.from({ length: count }, (_, n): [string, Written] => [`threat${(n * 7919) % count}`, String(n)])
    for (const order of [members, [...members].reverse(), members.map(([key, value]): [string, Written] => [`x${key}`, value])]) {
      expect(canonical(writeJson({ members: order }))).toBe(writeJson(sorted({ members: order })))
    }
  })

  it.each([2, 16, 17, 500])('sort %i elements of an unordered array', (count) => {
    const elements = Array.from({ length: count }, (_, n): Written => ({ members: [['sha256', `"${(n * 7919) % (count - 1)}"`], ['md5', 'null']] }))
    for (const order of [elements, [...elements].reverse()]) {
      const event = { members: [['messageParts', { elements: order }] as const, ['id', '1'] as const] }
      expect(canonical(writeJson(event))).toBe(writeJson(sorted(event)))
    }
  })

  it('sort an event of megabytes with many members, and small ones after it', () => {
    const members = Array.from({ length: 100_000 }, (_, n): [string, Written] => [`k${(n * 48271) % 100_000}`, '0'])
    expect(canonical(writeJson({ members }))).toBe(writeJson(sorted({ members })))
    expect(canonical('{"b":1,"a":2}')).toBe('{"a":2,"b":1}')
  })
})
