import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FINGERPRINT_BYTES } from '../../src/pipeline/event.ts'
import type { Condition, FilterConfig, Literal, Test } from '../../src/transforms/config.ts'
import { createFilter } from '../../src/transforms/filter.ts'
import { decimal } from '../../src/transforms/value.ts'
import { batchOf } from '../contract/batches.ts'
import { eventValue, placesOf, pointer, textsOf, valueAt, written, type Json } from './model.ts'

function literal(text: string): Literal {
  return { text, number: decimal(text), boolean: text === 'true' ? true : text === 'false' ? false : null }
}

function left(events: readonly string[], config: FilterConfig): readonly string[] {
  const batch = createFilter(config)(batchOf(events), () => {
    throw new Error('nothing is rejected')
  })
  return batch === null ? [] : textsOf(batch)
}

const keep = (field: string, test: Test): FilterConfig => ({ effect: 'keep', conditions: [{ field, test }] })
const oneOf = (...texts: readonly string[]): Test => ({ kind: 'one-of', literals: texts.map(literal) })

function naive(value: Json, { field, test }: Condition): boolean {
  const found = placesOf(value, field).map((place) => valueAt(value, place))
  if (test.kind === 'exists') return found.some((one) => one !== null) === test.wanted
  const scalars = (one: Json): readonly (string | number | boolean)[] => {
    if (one === null) return []
    if (typeof one === 'object') return Object.values(one).flatMap((inside: Json) => scalars(inside))
    return [one]
  }
  return found.flatMap(scalars).some((one) =>
    test.kind === 'matches'
      ? new RegExp(test.pattern, test.ignoreCase ? 'i' : '').test(typeof one === 'string' ? one : JSON.stringify(one))
      : test.literals.some(({ text }) => (typeof one === 'number' ? /\d/.test(text) && Number(text) === one : String(one) === text)),
  )
}

describe('filter', () => {
  it('keeps and drops what a naive one would', () => {
    const test = fc.oneof<[fc.Arbitrary<Test>, fc.Arbitrary<Test>, fc.Arbitrary<Test>]>(
      fc.array(fc.constantFrom('x', 'true', 'null', '5', '0', '-5.0', '250e-2', '1', ''), { minLength: 1, maxLength: 3 }).map((texts) => oneOf(...texts)),
      fc.tuple(fc.constantFrom('^x', 'é', '^$', '[0-9]', 'T', '"'), fc.boolean()).map(([pattern, ignoreCase]): Test => ({ kind: 'matches', pattern, ignoreCase })),
      fc.boolean().map((wanted): Test => ({ kind: 'exists', wanted })),
    )
    const conditions = fc.array(fc.record({ field: pointer, test }), { minLength: 1, maxLength: 3 })
    const effects = fc.constantFrom<FilterConfig['effect']>('keep', 'drop')
    fc.assert(
      fc.property(fc.array(eventValue, { minLength: 1, maxLength: 4 }), conditions, effects, fc.nat(), (values, all, effect, seed) => {
        const texts = values.map((value, index) => written(value, seed + index))
        const wanted = texts.filter((_, index) => all.some((condition) => naive(values[index] ?? null, condition)) === (effect === 'keep'))
        expect(left(texts, { effect, conditions: all })).toEqual(wanted)
      }),
      { numRuns: 600 },
    )
  })

  it.each<[string, string, Test, boolean]>([
    ['a number however it is written', '{"n":5.00}', oneOf('5'), true],
    ['a number of any size, to the last digit', '{"n":12345678901234567890}', oneOf('12345678901234567890'), true],
    ['and not the next one', '{"n":12345678901234567891}', oneOf('12345678901234567890'), false],
    ['zero, also a negative one', '{"n":-0.0}', oneOf('0'), true],
    ['a string of digits', '{"n":"5"}', oneOf('5'), true],
    ['but a string by its text alone', '{"n":"5.0"}', oneOf('5'), false],
    ['true', '{"n":true}', oneOf('true'), true],
    ['one of an array', '{"n":["a","b"]}', oneOf('b'), true],
    ['none of an empty array', '{"n":[]}', oneOf(''), false],
    ['any of two members of one name', '{"n":"a","n":"b"}', oneOf('a'), true],
    ['null is not there', '{"n":null}', { kind: 'exists', wanted: false }, true],
    ['an empty array is there', '{"n":[]}', { kind: 'exists', wanted: true }, true],
    ['an escaped text', '{"n":"\\u0061\\/b"}', { kind: 'matches', pattern: '^a/b$', ignoreCase: false }, true],
  ])('%s', (_name, event, test, isKept) => {
    expect(left([event], keep('/n', test))).toEqual(isKept ? [event] : [])
  })

  it('leaves nothing of a batch without a hit, and the batch itself where all are kept', () => {
    const batch = batchOf(['{"a":1}', '{"a":2}'])
    const all = createFilter(keep('/a', oneOf('1', '2')))
    expect(all(batch, () => undefined)).toBe(batch)
    expect(createFilter(keep('/a', oneOf('3')))(batch, () => undefined)).toBeNull()
  })

  it('keeps fingerprints with their events, in bytes of its own', () => {
    const batch = { ...batchOf(['{"a":1}', '{"a":2}', '{"a":3}']), fingerprints: Uint8Array.from({ length: 3 * FINGERPRINT_BYTES }, (_, index) => index / FINGERPRINT_BYTES) }
    const kept = createFilter({ effect: 'drop', conditions: [{ field: '/a', test: oneOf('2') }] })(batch, () => undefined)
    expect([...(kept?.fingerprints ?? [])]).toEqual([...Array<number>(FINGERPRINT_BYTES).fill(0), ...Array<number>(FINGERPRINT_BYTES).fill(2)])
    expect(kept?.lines.buffer.byteLength).toBe(kept?.lines.byteLength)
  })

  it.each(['keep', 'drop'] as const)('rejects what it cannot read, also where the rule is to %s', (effect) => {
    const rejected: number[] = []
    const kept = createFilter({ effect, conditions: [{ field: '/a', test: oneOf('1') }] })(batchOf(['{"a":1}', '{"a":', '{"a":2}']), (_batch, index) => rejected.push(index))
    expect(rejected).toEqual([1])
    expect(kept === null ? null : textsOf(kept)).toEqual([effect === 'keep' ? '{"a":1}' : '{"a":2}'])
  })
})
