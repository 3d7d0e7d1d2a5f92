import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RemovedLetters, rangesOf } from '../../../src/buffers/kafka/removed-letters.ts'

const range = fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 8 })).map(([from, length]) => ({ from, to: from + length }))

test('knows of each offset whether it was removed, and what is left behind it, however ranges lie', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), fc.array(range, { maxLength: 4 }), (added, deleted) => {
      const removed = new RemovedLetters()
      for (const one of added) removed.add(one)
      removed.has(0)
      for (const one of deleted) removed.delete(one)
      const left = added.filter(({ from, to }) => !deleted.some((other) => other.from === from && other.to === to))
      const isIn = (offset: number): boolean => left.some(({ from, to }) => from <= offset && offset < to)
      for (let offset = 0; offset < 60; offset += 1) {
        expect(removed.has(offset)).toBe(isIn(offset))
        let behind = offset
        while (isIn(behind)) behind += 1
        expect(removed.behind(offset)).toBe(behind)
      }
    }),
  )
})

test('neighbours are one range', () => {
  expect(rangesOf([1, 2, 3, 7, 9, 10])).toEqual([{ from: 1, to: 4 }, { from: 7, to: 8 }, { from: 9, to: 11 }])
  expect(rangesOf([])).toEqual([])
})

test('tidied they say the same, in ranges that are apart, and what lies before the start no longer', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), fc.nat(50), (added, start) => {
      const removed = new RemovedLetters()
      for (const one of added) removed.add(one)
      const before = Array.from({ length: 60 }, (_, offset) => removed.has(offset))
      const { more, noLonger } = removed.tidied(start)
      for (const one of more) {
        removed.add(one)
        for (let offset = start; offset < 60; offset += 1) expect(removed.has(offset)).toBe(before[offset])
      }
      for (const one of noLonger) {
        removed.delete(one)
        for (let offset = start; offset < 60; offset += 1) expect(removed.has(offset)).toBe(before[offset])
      }
      const left = removed.ranges().toSorted((a, b) => a.from - b.from)
      expect(left.every(({ to }, index) => to > start && to < (left[index + 1]?.from ?? Infinity))).toBe(true)
      expect(removed.tidied(start)).toEqual({ more: [], noLonger: [] })
    }),
  )
})
