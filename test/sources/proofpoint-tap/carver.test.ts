import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HEAD_BYTES, MAX_ELEMENT_BYTES } from '../../../src/sources/proofpoint-tap/carry.ts'
import { Carver, MAX_SLICE_BYTES } from '../../../src/sources/proofpoint-tap/carver.ts'
import { cutAt, whiteSpace, writeJson, writtenValue } from './response-support.ts'

interface Carved {
  readonly elements: string[]
  readonly passed: string
  readonly carver: Carver
}

/** Carves pieces; elements of the arrays whose turn `keep` refuses are not kept. */
function carve(pieces: readonly Uint8Array[], keep: (array: number) => boolean = () => true): Carved {
  const carver = new Carver()
  const elements: string[] = []
  let passed = ''
  let arrays = 0
  for (const piece of pieces) {
    for (let from = 0; from < piece.length; from += MAX_SLICE_BYTES) {
      carver.give(Uint8Array.from(piece.subarray(from, from + MAX_SLICE_BYTES)))
      for (let found = carver.next(); found !== 'slice-end'; found = carver.next()) {
        if (found === 'array') {
          carver.keep = keep(arrays)
          arrays += 1
        } else if (found === 'element') elements.push(Buffer.from(carver.bytes.subarray(carver.start, carver.end)).toString())
      }
      passed += Buffer.from(carver.takePassed()).toString('latin1')
    }
  }
  return { elements, passed, carver }
}

const bytewise = (text: string): Uint8Array[] => [...Buffer.from(text)].map((byte) => Uint8Array.of(byte))

describe('Carver', () => {
  it.each([
    ['objects', '{"t":"x","a":[{"n":1},{"n":[2,"]"]}],"z":0}', ['{"n":1}', '{"n":[2,"]"]}'], '{"t":"x","a":[0 ,0 ],"z":0}'],
    ['values of all kinds', '{"a":[1, "a,]\\"" ,null,[[2],{}],-0.5e1,rubbish]}', ['1', '"a,]\\""', 'null', '[[2],{}]', '-0.5e1', 'rubbish'], '{"a":[0 , 0  ,0 ,0 ,0 ,0 ]}'],
    ['nothing nested deeper', '{"m":{"a":[{"n":1}]},"a":[{}]}', ['{}'], '{"m":{"a":[{"n":1}]},"a":[0 ]}'],
    ['nothing where the top is no object', '[{"a":1}]', [], '[{"a":1}]'],
    ['several arrays', '{"a":[{}],"b":[],"c":[[]]}', ['{}', '[]'], '{"a":[0 ],"b":[],"c":[0 ]}'],
    ['braces inside strings', '{"{[":"]}","a":[{"}":"\\\\"}]}', ['{"}":"\\\\"}'], '{"{[":"]}","a":[0 ]}'],
    ['white space around', '\ufeff {"a" : [ {"n": 1} , { } ] }\n', ['{"n": 1}', '{ }'], '\u00ef\u00bb\u00bf {"a" : [ 0  , 0  ] }\n'],
  ])('cuts out %s, in one piece or byte by byte', (_, text, elements, passed) => {
    for (const pieces of [[Buffer.from(text)], bytewise(text)]) {
      const carved = carve(pieces)
      expect(carved.elements).toEqual(elements)
      expect(carved.passed).toBe(passed)
      expect(carved.carver.elements).toBe(elements.length)
    }
  })

  it('passes on what breaks the envelope, for its parser to refuse', () => {
    expect(carve([Buffer.from('{"a":[{} {}]}')]).passed).toBe('{"a":[0  {}]}')
    expect(carve([Buffer.from('{"a":[{}{}]}')]).passed).toBe('{"a":[0 {}]}')
    expect(carve([Buffer.from('{"a":[,{},]}')]).passed).toBe('{"a":[,0 ,]}')
    expect(carve([Buffer.from('{"a":[1"x"]}')]).passed).toBe('{"a":[0 "x"]}')
    expect(carve([Buffer.from('{"a":[]}{"a":[]}')]).passed).toBe('{"a":[]}{"a":[]}')
  })

  it('leaves out the elements of arrays that are not kept, but still puts their zeros', () => {
    const text = '{"a":[{"n":1}],"b":[{"n":2},"x",3],"c":[{"n":4}]}'
    for (const pieces of [[Buffer.from(text)], bytewise(text)]) {
      const { elements, passed, carver } = carve(pieces, (array) => array !== 1)
      expect(elements).toEqual(['{"n":1}', '{"n":4}'])
      expect(passed).toBe('{"a":[0 ],"b":[0 ,0 ,0 ],"c":[0 ]}')
      expect(carver.elements).toBe(5)
    }
  })

  it('gives the same elements however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(writtenValue, { maxLength: 6 }), whiteSpace, fc.array(fc.nat(), { maxLength: 12 }), (values, space, places) => {
        // White space around an element belongs to the envelope, that inside to the element.
        const elements = values.map((value) => writeJson(value, space))
        const bytes = Buffer.from(`{"a":[${elements.map((element) => `${space()}${element}${space()}`).join(',')}]}`)
        expect(carve(cutAt(bytes, places)).elements).toEqual(elements)
        expect(carve([...bytes].map((byte) => Uint8Array.of(byte))).elements).toEqual(elements)
      }),
      { numRuns: 300 },
    )
  })

  it('tells where an object begins, and goes on where its reader found the end', () => {
    const carver = new Carver()
    const bytes = Uint8Array.from(Buffer.from('{"a":[{"n":1},{"n":2}]}'))
    carver.give(bytes)
    expect(carver.next()).toBe('array')
    expect(carver.next()).toBe('object-start')
    expect(carver.start).toBe(6)
    carver.skip(13)
    expect(carver.next()).toBe('object-start')
    expect(carver.start).toBe(14)
    expect(carver.next()).toBe('element')
    expect([carver.start, carver.end, carver.size]).toEqual([14, 21, 7])
    expect(carver.next()).toBe('slice-end')
    expect(Buffer.from(carver.takePassed()).toString()).toBe('{"a":[0 ,0 ]}')
  })

  it('keeps an element of just the limit, and of a larger one the head, the size and the hash', () => {
    for (const extra of [0, 1, 12_000_000]) {
      const element = Buffer.from(`"${'x'.repeat(MAX_ELEMENT_BYTES - 2 + extra)}"`)
      const carver = new Carver()
      const seen: unknown[] = []
      let largest = 0
      for (const piece of cutAt(Buffer.concat([Buffer.from('{"a":[{},'), element, Buffer.from(',{"n":1}]}')]), Array.from({ length: 400 }, (_, n) => n * 60_000))) {
        carver.give(Uint8Array.from(piece))
        for (let found = carver.next(); found !== 'slice-end'; found = carver.next()) {
          if (found !== 'element') continue
          const kept = carver.bytes.subarray(carver.start, carver.end)
          largest = Math.max(largest, carver.bytes.length)
          seen.push([carver.oversize, carver.size, kept.length, carver.oversize ? carver.digest() : null])
          expect(Buffer.compare(kept, carver.size < 100 ? kept : element.subarray(0, kept.length))).toBe(0)
        }
        carver.takePassed()
      }
      const large = extra === 0 ? [false, element.length, element.length, null] : [true, element.length, HEAD_BYTES, createHash('sha256').update(element).digest('binary')]
      expect(seen).toEqual([[false, 2, 2, null], large, [false, 7, 7, null]])
      expect(largest).toBeLessThanOrEqual(2 * MAX_ELEMENT_BYTES)
    }
  })

  it('counts what stands outside the arrays', () => {
    expect(carve([Buffer.from('{"t":1,"a":[{"n":1}, {},   2],"b":[]}')]).carver.outsideBytes).toBe('{"t":1,"a":[],"b":[]}'.length)
  })

  it('has room for a slice of nothing but the shortest elements', () => {
    const text = `{"a":[${'5,'.repeat(MAX_SLICE_BYTES)}5]}`
    expect(carve([Buffer.from(text)]).passed).toBe(`{"a":[${'0 ,'.repeat(MAX_SLICE_BYTES)}0 ]}`)
  })
})
