import { describe, expect, it } from 'vitest'
import { Envelope } from '../../../src/sources/proofpoint-tap/envelope.ts'
import { MalformedResponseError } from '../../../src/sources/proofpoint-tap/malformed.ts'

/** Judges a text, whole or byte by byte; elements stand for themselves as `0 `. */
function judge(text: string | Uint8Array, expected: readonly string[] = ['a'], bytewise = false): Envelope {
  const envelope = new Envelope(expected)
  const bytes = Buffer.from(text)
  if (bytewise) for (const byte of bytes) envelope.write(Uint8Array.of(byte))
  else envelope.write(bytes)
  envelope.end()
  return envelope
}

describe('Envelope', () => {
  it.each([
    ['one array', '{"queryEndTime":"2026-11-20T04:00:00Z","a":[0 ,0 ]}', 2],
    ['an empty array', '{"a":[]}', 0],
    ['null, which counts as empty', '{"a":null}', 0],
    ['an array that comes twice', '{"a":[0 ],"a":[0 ,0 ]}', 3],
    ['an array and null', '{"a":[0 ],"a":null}', 1],
    ['other members of all kinds', '{"x":{"a":[1,{"b":[]}]},"a":[0 ],"n":-1.5e3,"s":"\\u00e9","t":true,"b":[0 ],"z":null}', 2],
    ['a byte order mark and white space', '\ufeff \r\n{ "a" : [ 0  ] }\n\t', 1],
    ['a key written with escapes', '{"\\u0061":[0 ]}', 1],
    ['bytes that are not UTF-8 in a foreign member', Buffer.from([...Buffer.from('{"x":"'), 0xff, ...Buffer.from('","a":[]}')]), 0],
  ])('accepts %s', (_, text, elements) => {
    for (const bytewise of [false, true]) expect(judge(text, ['a'], bytewise).elements).toBe(elements)
  })

  it.each([
    ['a missing array', '{"b":[0 ],"queryEndTime":"x"}', 'no array "a"; it has "b", "queryEndTime"'],
    ['no members', '{}', 'no array "a"; it has no members'],
    ['an array under a nested key alone', '{"data":{"a":[1]}}', 'no array "a"; it has "data"'],
    ['an object in place of the array', '{"a":{}}', 'an object in place of the array "a"'],
    ['a string in its place', '{"a":"x"}', 'a string in place of the array "a"'],
    ['a number in its place', '{"a":0}', 'a number in place of the array "a"'],
    ['a boolean in its place', '{"a":false}', 'a boolean in place of the array "a"'],
    ['an array and then a string', '{"a":[0 ],"a":""}', 'a string in place of the array "a"'],
    ['an array at the top', '[0 ]', 'an array instead of an object'],
    ['a string at the top', '"a"', 'a string instead of an object'],
    ['a number at the top', '17', 'a number instead of an object'],
    ['null at the top', 'null', 'null instead of an object'],
    ['an end inside an object', '{"a":[0 ]', 'cut off'],
    ['an end inside an array', '{"a":[0 ,', 'cut off'],
    ['an end inside a string', '{"a":[],"x":"y', 'cut off'],
    ['an end inside a key', '{"a":[],"x', 'cut off'],
    ['an end inside a literal', '{"a":nu', ''],
    ['a comma too many', '{"a":[0 ,]}', 'not valid JSON'],
    ['a comma too few', '{"a":[0 0 ]}', 'not valid JSON'],
    ['a comma before the end', '{"a":[],}', 'not valid JSON'],
    ['brackets that do not match', '{"a":[0 }}', 'not valid JSON'],
    ['a second object', '{"a":[]}{}', 'not valid JSON'],
    ['bytes behind the end', '{"a":[]}x', 'not valid JSON'],
    ['plain text', 'Service unavailable', 'not valid JSON'],
    ['a control character in a string', '{"a":[],"x":"y\nz......"}', 'not valid JSON'],
    ['a number with a zero before', '{"a":[],"x":01}', 'not valid JSON'],
  ])('refuses %s', (_, text, message) => {
    for (const bytewise of [false, true]) {
      expect(() => judge(text, ['a'], bytewise)).toThrow(MalformedResponseError)
      expect(() => judge(text, ['a'], bytewise)).toThrow(message)
    }
  })

  it('wants one expected array at least, and names those that are not as they should be', () => {
    const problems = (text: string): [string, string][] => {
      const envelope = new Envelope(['a', 'b', 'c'])
      envelope.write(Buffer.from(text))
      return [...envelope.end()]
    }
    expect(judge('{"b":[0 ],"a":null,"c":[]}', ['a', 'b', 'c']).elements).toBe(1)
    expect(problems('{"b":[0 ],"a":null,"c":[]}')).toEqual([])
    const absence = 'the response has no array "a" and none "c"; it has "b"'
    expect(problems('{"b":[]}')).toEqual([['a', absence], ['c', absence]])
    expect(problems('{"a":[],"b":{"c":[1]},"c":[]}')).toEqual([['b', 'the response has an object in place of the array "b"']])
    expect(() => judge('{"d":[]}', ['a', 'b', 'c'])).toThrow('no array "a" and none "b" and none "c"')
    expect(() => judge('{"a":1,"b":2,"c":3,', ['a', 'b', 'c'])).toThrow('a number in place of the array "c"')
  })

  it('tells which array is open', () => {
    const envelope = new Envelope(['a', 'b'])
    const open = ['{', '"a":[', '0 ,0 ', '],"x":{"b":[', '1]},"b":[', '0 ', '],"y":[', ']}'].map((text) => {
      envelope.write(Buffer.from(text))
      return envelope.array
    })
    expect(open).toEqual([null, 'a', 'a', null, 'b', 'b', 'y', null])
  })

  it.each([
    ['"2026-11-20T04:00:00Z"', Date.UTC(2026, 10, 20, 4)],
    ['"2026-11-20T04:00:00.250Z"', Date.UTC(2026, 10, 20, 4, 0, 0, 250)],
    ['"2026-11-20T04:00:00+02:00"', Date.UTC(2026, 10, 20, 2)],
    ['"2026-11-20T04:00:00-0130"', Date.UTC(2026, 10, 20, 5, 30)],
    ['"2026-11-20T04:00:00"', Date.UTC(2026, 10, 20, 4)],
    ['"2026-13-20T04:00:00Z"', null],
    ['"yesterday"', null],
    ['1763611200', null],
    ['null', null],
  ])('reads the queryEndTime %s', (value, time) => {
    expect(judge(`{"queryEndTime":${value},"a":[]}`).queryEndTime).toBe(time)
    expect(judge(`{"a":[],"x":{"queryEndTime":${value}}}`).queryEndTime).toBeNull()
  })

  it('does not follow hostile nesting', () => {
    expect(() => judge(`{"a":[],"x":${'['.repeat(10_000)}`)).toThrow('deeper than 64 levels')
    expect(() => judge(`{"a":[],"x":${'{"y":'.repeat(10_000)}`)).toThrow('deeper than 64 levels')
    expect(judge(`{"a":[],"x":${'['.repeat(63)}${']'.repeat(63)}}`).elements).toBe(0)
  })

  it('shortens names that it did not expect', () => {
    const names = Array.from({ length: 50 }, (_, n) => `"${String(n).repeat(500)}":1`)
    expect(() => judge(`{${names.join(',')}}`)).toThrow(/^.{100,600}$/)
  })
})
