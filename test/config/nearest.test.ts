import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { editDistance, isSlip, nearest } from '../../src/config/nearest.ts'

const KEYS = ['request_period_in_seconds', 'look_back_in_minutes', 'override_tag', 'username', 'password', 'id', 'key', 'cert']

describe('the nearest known name', () => {
  it.each([
    ['usrename', 'username'],
    ['USERNAME', 'username'],
    ['user', 'username'],
    ['request_period', 'request_period_in_seconds'],
    ['lookback_in_minutes', 'look_back_in_minutes'],
    ['override_tags', 'override_tag'],
    ['kye', 'key'],
    ['whatever', null],
    ['x', null],
    ['', null],
  ])('of %j is %j', (seen, expected) => {
    expect(nearest(seen, KEYS)).toBe(expected)
  })

  it('counts two slips of the fingers, in long names only', () => {
    expect(isSlip('override_tga', KEYS)).toBe(true)
    expect(isSlip('override_tag_base', KEYS)).toBe(false)
    expect(isSlip('kay', KEYS)).toBe(false)
  })

  it('is a distance', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 8 })
    fc.assert(
      fc.property(word, word, (a, b) => {
        const distance = editDistance(a, b)
        expect(distance).toBe(editDistance(b, a))
        expect(distance === 0).toBe(a === b)
        expect(distance).toBeGreaterThanOrEqual(Math.abs(a.length - b.length))
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length))
      }),
    )
    expect(editDistance('kitten', 'sitting')).toBe(3)
    expect(editDistance('ab', 'ba')).toBe(1)
  })
})
