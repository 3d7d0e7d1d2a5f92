import { expect, test } from 'vitest'
import { Arena } from '../../../src/buffers/kafka/arena.ts'

test('what is given out at one time does not overlap, whether or not it fits, and the next time it is the same memory', () => {
  const arena = new Arena()
  const times = [1, 2, 3].map(() => {
    arena.clear()
    const pieces = [5_000, 1, 70_000].map((bytes) => arena.take(bytes))
    pieces.forEach((piece, index) => piece.fill(index))
    expect(pieces.map((piece) => [piece.length, new Set(piece)])).toEqual([[5_000, new Set([0])], [1, new Set([1])], [70_000, new Set([2])]])
    return pieces
  })
  const [, second, third] = times.map((pieces) => pieces.map(({ buffer, byteOffset }) => ({ buffer, byteOffset })))
  expect(new Set(second?.map(({ buffer }) => buffer)).size).toBe(1)
  expect(third?.every(({ buffer, byteOffset }, index) => buffer === second?.[index]?.buffer && byteOffset === second[index].byteOffset)).toBe(true)
})

test('what is too much to be kept is given out all the same', () => {
  const arena = new Arena()
  for (let time = 0; time < 3; time += 1) {
    arena.clear()
    expect(Array.from({ length: 3 }, () => arena.take(8 * 1024 * 1024).length)).toEqual([8 * 1024 * 1024, 8 * 1024 * 1024, 8 * 1024 * 1024])
  }
})
