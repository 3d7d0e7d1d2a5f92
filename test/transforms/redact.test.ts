import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countEvents, FINGERPRINT_BYTES, type Batch } from '../../src/pipeline/event.ts'
import type { RedactConfig } from '../../src/transforms/config.ts'
import { createRedact } from '../../src/transforms/redact.ts'
import { batchOf } from '../contract/batches.ts'
import { changed, eventValue, hashOf, placesOf, pointer, textsOf, written, type Json } from './model.ts'

const KEY = 'a key of at least sixteen'

function redact(events: readonly string[], config: Partial<RedactConfig> & Pick<RedactConfig, 'fields'>): readonly string[] {
  const left = createRedact({ action: 'remove', key: config.action === 'hash' ? KEY : null, ...config })(batchOf(events), () => {
    throw new Error('nothing is rejected')
  })
  return left === null ? [] : textsOf(left)
}

function naive(value: Json, { fields, action }: Pick<RedactConfig, 'fields' | 'action'>): Json {
  const replace = (old: Json): Json => {
    if (Array.isArray(old)) return old.map(replace)
    if (old === null) return null
    if (typeof old === 'object') return Object.fromEntries(Object.entries(old).map(([key, member]) => [key, replace(member)]))
    // A number is hashed as it is written.
    return action === 'mask' ? '***' : hashOf(typeof old === 'string' ? old : JSON.stringify(old), KEY)
  }
  const places = fields.flatMap((field) => placesOf(value, field))
  const outermost = places.filter((place) => !places.some((other) => other.length < place.length && other.every((step, index) => step === place[index])))
  return changed(value, outermost, (old) => (action === 'remove' ? undefined : replace(old))) ?? null
}

describe('redact', () => {
  it('does to the values what a naive one would do, and is JSON afterwards', () => {
    const actions = fc.constantFrom<RedactConfig['action']>('remove', 'mask', 'hash')
    fc.assert(
      fc.property(fc.array(eventValue, { minLength: 1, maxLength: 3 }), fc.array(pointer, { minLength: 1, maxLength: 4 }), actions, fc.nat(), (values, fields, action, seed) => {
        const texts = redact(values.map((value, index) => written(value, seed + index)), { fields, action })
        expect(texts.map((text): unknown => JSON.parse(text))).toEqual(values.map((value) => JSON.parse(JSON.stringify(naive(value, { fields, action }))) as unknown))
      }),
      { numRuns: 500 },
    )
  })

  it('leaves every other byte where it was', () => {
    fc.assert(
      fc.property(fc.array(eventValue, { minLength: 1, maxLength: 3 }), fc.nat(), (values, seed) => {
        const texts = values.map((value, index) => written({ before: [1, { x: value }], secret: value, behind: value }, seed + index))
        // Between white space and around what is taken out nothing but the member and one comma goes.
        expect(redact(texts, { fields: ['/secret'] })).toEqual(
          values.map((value, index) => {
            const text = texts[index] ?? ''
            const [start, end] = [endOfValue(text, 'before'), endOfValue(text, 'secret')]
            expect(JSON.parse(text.slice(0, start) + text.slice(end))).toEqual(JSON.parse(JSON.stringify({ before: [1, { x: value }], behind: value })))
            return text.slice(0, start) + text.slice(end)
          }),
        )
      }),
      { numRuns: 100 },
    )
  })

  it.each([
    ['a number of any size', '{"n":12345678901234567890,"z":0.0,"e":1E+2,"x":1}', '/x', '{"n":12345678901234567890,"z":0.0,"e":1E+2}'],
    ['the first', '{"x":1,"a":2}', '/x', '{"a":2}'],
    ['the only one', '{ "x" : 1 }', '/x', '{  }'],
    ['all', '{"x":1,"y":2}', '/*', '{}'],
    ['a key in escapes', '{"a":1,"\\u0078":2}', '/x', '{"a":1}'],
    ['every member of that name', '{"x":1,"a":2,"x":3}', '/x', '{"a":2}'],
    ['elements of an array', '{"p":[{"f":1,"g":2},{"f":3},4]}', '/p/*/f', '{"p":[{"g":2},{},4]}'],
    ['one element', '{"p":[1,2,3]}', '/p/1', '{"p":[1,3]}'],
    ['the last element', '{"p":[1,2,3]}', '/p/2', '{"p":[1,2]}'],
    ['nothing behind a plain value', '{"p":"x"}', '/p/0', '{"p":"x"}'],
  ])('removes %s', (_name, event, field, expected) => {
    expect(redact([event], { fields: [field] })).toEqual([expected])
  })

  it('masks each value of an array or object, and leaves null', () => {
    expect(redact(['{"r":["a","b"],"o":{"n":1,"z":null,"t":true},"k":"v"}'], { fields: ['/r', '/o'], action: 'mask' })).toEqual([
      '{"r":["***","***"],"o":{"n":"***","z":null,"t":"***"},"k":"v"}',
    ])
  })

  it('hashes a value to the same text wherever it stands and however it is written', () => {
    const [event = ''] = redact(['{"a":"j\\u00f6e@x","b":["jöe@x"],"c":"Jöe@x"}'], { fields: ['/a', '/b', '/c'], action: 'hash' })
    expect(JSON.parse(event)).toEqual({ a: hashOf('jöe@x', KEY), b: [hashOf('jöe@x', KEY)], c: hashOf('Jöe@x', KEY) })
    expect(redact(['{"a":"x"}'], { fields: ['/a'], action: 'hash', key: 'another key that is long' })).toEqual([`{"a":"${hashOf('x', 'another key that is long')}"}`])
  })

  it('gives a batch back as it is where nothing in it is touched', () => {
    const batch = batchOf(['{"a":1}'])
    expect(createRedact({ fields: ['/b'], action: 'mask', key: null })(batch, () => undefined)).toBe(batch)
  })

  it('lets nothing out that it cannot read, and that alone', () => {
    const good = Array.from({ length: 2 }, (_, index) => `{"x":"s${index}","a":${index}}`)
    const bad = ['{"x":"secret"', '{"a":1,"x":"secret"}}', '{"x" "secret"}', '{"x":"secret",}', '["secret"]', '{"x":"secret', '{"\\u00zz":"secret"}', '"secret"']
    const lines = [good[0] ?? '', ...bad, good[1] ?? '']
    const batch: Batch = { ...batchOf(lines), fingerprints: Uint8Array.from({ length: lines.length * FINGERPRINT_BYTES }, (_, index) => index / FINGERPRINT_BYTES) }
    const rejected: number[] = []
    const left = createRedact({ fields: ['/x'], action: 'hash', key: KEY })(batch, (of, index) => {
      expect(of).toBe(batch)
      rejected.push(index)
    })
    expect(rejected).toEqual(bad.map((_, index) => index + 1))
    expect(left === null ? null : textsOf(left)).toEqual(good.map((_, index) => `{"x":"${hashOf(`s${index}`, KEY)}","a":${index}}`))
    expect(left === null ? 0 : countEvents(left)).toBe(2)
    expect([left?.fingerprints[0], left?.fingerprints[FINGERPRINT_BYTES]]).toEqual([0, lines.length - 1])
  })

  it('has bytes of its own, so that they can be given away', () => {
    const left = createRedact({ fields: ['/x'], action: 'mask', key: null })(batchOf(['{"x":1}', '{"y":1}']), () => undefined)
    expect([left?.lines.byteLength, left?.fingerprints.byteLength]).toEqual([left?.lines.buffer.byteLength, left?.fingerprints.buffer.byteLength])
  })
})

/** Index behind the value of a top-level member, without its white space; the names stand nowhere else in these events. */
function endOfValue(text: string, member: string): number {
  const key = new RegExp(`(?:"${member}"|"\\\\u00${member.charCodeAt(0).toString(16)}${member.slice(1)}")\\s*:`).exec(text)
  const from = (key?.index ?? 0) + (key?.[0].length ?? 0)
  for (let end = from + 1; ; end += 1) {
    const value = text.slice(from, end)
    const goesOn = /^[^\s,}]/.test(text.slice(end)) || !/\S/.test(value)
    if (goesOn && !/["\]}]$/.test(value)) continue
    try {
      JSON.parse(value)
      return end
    } catch {
      if (end > text.length) throw new Error(`no ${member} in ${text}`)
    }
  }
}
