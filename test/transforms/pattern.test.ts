import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compilePattern } from '../../src/transforms/pattern/matcher.ts'

/** The search of JavaScript, which is the model here, does not end in time for nested repetitions over longer texts. */
const LONGEST = 6
const LETTERS = ['a', 'b', 'A', 'B', 'k', '\u212a', 'ſ', 's', 'ß', 'é', 'É', '0', '7', '_', '-', ' ', '\n', '\r', '\u2028', '.', '/', '😀']

const atom = fc.oneof(
  fc.constantFrom('a', 'b', 'A', 'k', 's', 'é', '_', '-', ' ', '\\.', '\\/', '\\n', '\\x61', '\\u00e9', '\\-'),
  fc.constantFrom('.', '\\d', '\\D', '\\w', '\\W', '\\s', '\\S', '[ab]', '[^ab]', '[a-z]', '[^A-Z\\d]', '[\\w-]', '[]', '[^]', '[\\b.]', '[-a]', '[a\\-z]'),
)
const pattern: fc.Arbitrary<string> = fc.letrec<{ all: string; repeated: string; one: string; sequence: string }>((tie) => ({
  one: fc.oneof(
    { maxDepth: 3, depthIdentifier: 'pattern', withCrossShrink: true },
    atom,
    fc.constantFrom('^', '$', '\\b', '\\B'),
    tie('repeated'),
    tie('all').map((inside) => `(?:${inside})`),
    tie('all').map((inside) => `(${inside})`),
  ),
  repeated: fc
    .tuple(fc.oneof(atom, tie('all').map((inside) => `(?:${inside})`)), fc.constantFrom('*', '+', '?', '*?', '{2}', '{0}', '{1,}', '{0,2}', '{1,3}?'))
    .map(([what, times]) => what + times),
  sequence: fc.array(tie('one'), { maxLength: 3 }).map((parts) => parts.join('')),
  all: fc.array(tie('sequence'), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('|')),
})).all

describe('a pattern', () => {
  it('finds what the search of JavaScript finds', () => {
    const text = fc.array(fc.constantFrom(...LETTERS), { maxLength: LONGEST }).map((letters) => letters.join(''))
    fc.assert(
      fc.property(pattern, fc.array(text, { minLength: 1, maxLength: 5 }), fc.boolean(), (source, texts, ignoreCase) => {
        const search = compilePattern(source, ignoreCase)
        const model = new RegExp(source, ignoreCase ? 'i' : '')
        // The first text again: by then its way is known.
        for (const one of [...texts, ...texts.slice(0, 1)]) expect([one, search(one)]).toEqual([one, model.test(one)])
      }),
      { numRuns: 400 },
    )
  })

  it('takes names of groups, which have no meaning here', () => {
    expect(compilePattern('(?<year>2\\d{3})-(?<month>\\d\\d)', false)('on 2026-11-24')).toBe(true)
  })

  it.each([
    ['(a+)+$', `${'a'.repeat(200_000)}b`],
    ['(a|a)*c', 'a'.repeat(200_000)],
    ['a*a*a*a*a*b', 'a'.repeat(200_000)],
    ['(.*)(.*)(.*)(.*)[^a]$', 'a'.repeat(200_000)],
    ['(?:a?){50}a{50}c', 'a'.repeat(20_000)],
  ])('takes a time that grows with the text alone: %s', (source, text) => {
    const search = compilePattern(source, false)
    const before = performance.now()
    expect(search(text)).toBe(false)
    // A search that goes back would take longer than the age of the universe.
    expect(performance.now() - before).toBeLessThan(5_000)
  })

  it('goes on when it has forgotten the places it has seen', () => {
    // Which of the last 16 letters were an a: more places than are kept.
    const search = compilePattern('a[ab]{15}c', false)
    const random = fc.sample(fc.constantFrom('a', 'b'), { numRuns: 50_000, seed: 1 }).join('')
    expect(search(random)).toBe(false)
    expect(search(`${random}a${'b'.repeat(15)}c${random}`)).toBe(true)
  })

  it.each([
    ['(', 'has a ( without its )'],
    ['a)', 'has a ) without its ('],
    ['[a', 'has a [ without its ]'],
    ['*a', 'nothing before it'],
    ['a**', 'one repetition right behind another'],
    ['(?=a)', 'looks ahead or behind'],
    ['(?<!a)b', 'looks ahead or behind'],
    ['(?i)a', 'ignore_case: true'],
    ['(a)\\1', 'refers to a group'],
    ['\\p{L}', 'has \\p, which is not known'],
    ['a\\', 'has \\, which is not known'],
    ['[z-a]', 'a range'],
    ['[\\d-z]', 'a range'],
    ['a{3,2}', 'the larger one'],
    ['a{1001}', 'at most 1000'],
    ['(a{1000}){1000}', 'too large'],
    [`${'('.repeat(60)}a${')'.repeat(60)}`, 'nested deeper'],
  ])('that cannot be used says why: %s', (source, reason) => {
    expect(() => compilePattern(source, false)).toThrow(expect.objectContaining({ name: 'PatternError', message: expect.stringContaining(reason) as unknown }))
  })
})
