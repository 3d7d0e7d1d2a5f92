import fc from 'fast-check'
import { expect, test } from 'vitest'
import { planSections, type OutputCursor, type Section, type Stretch } from '../../../src/buffers/move/plan.ts'

/** Writes the plan as a move does, and gives what each output reads from where it begins, and what it should. */
function carriedOut(stretches: readonly Stretch[], outputs: readonly OutputCursor[], partitions: readonly number[]) {
  const logs = new Map(partitions.map((partition): [number, string[]] => [partition, []]))
  const begin = new Map(outputs.map(({ name }) => [name, new Map<number, number>()]))
  const chunksOf = (section: Section): string[] => {
    const index = stretches.findIndex(({ from, to, only }) => only === section.only && from <= section.from && section.to <= to)
    return Array.from({ length: section.to - section.from }, (_, n) => `${index}/${section.from + n + 1}`)
  }
  for (const section of planSections(stretches, outputs, partitions)) {
    for (const name of section.needs) {
      for (const partition of section.partitions) {
        const places = begin.get(name)
        if (places?.has(partition) === false) places.set(partition, logs.get(partition)?.length ?? 0)
      }
    }
    chunksOf(section).forEach((chunk, n) => logs.get(section.partitions[n % section.partitions.length] ?? -1)?.push(chunk))
  }
  return outputs.map(({ name, chunk: cursor }) => ({
    gets: partitions.flatMap((partition) => (logs.get(partition) ?? []).slice(begin.get(name)?.get(partition) ?? Infinity)).sort(),
    needs: stretches
      .flatMap(({ from, to, only }, index) =>
        only !== null && !only.includes(name) ? [] : Array.from({ length: to - from }, (_, n) => from + n + 1).filter((chunk) => chunk > cursor).map((chunk) => `${index}/${chunk}`),
      )
      .sort(),
  }))
}

const NAMES = ['a', 'b', 'c', 'd']

test('each output gets what it needs, once, and nothing else, wherever the outputs are', () => {
  const stretch = fc.record({ length: fc.integer({ min: 1, max: 6 }), only: fc.option(fc.subarray(NAMES), { nil: null }) })
  fc.assert(
    fc.property(fc.array(stretch, { maxLength: 6 }), fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 4 }), (lengths, cursors) => {
      let end = 0
      const stretches = lengths.map(({ length, only }) => ({ from: end, to: (end += length), only }))
      const outputs = cursors.map((chunk, index) => ({ name: NAMES[index] ?? '', chunk }))
      for (const { gets, needs } of carriedOut(stretches, outputs, Array.from({ length: 16 }, (_, partition) => partition))) expect(gets).toEqual(needs)
    }),
  )
})

test('one line of chunks goes to all partitions, in sections that end at the cursors', () => {
  const outputs = [{ name: 'a', chunk: 5 }, { name: 'b', chunk: 2 }, { name: 'c', chunk: 9 }]
  expect(planSections([{ from: 2, to: 9, only: null }], outputs, [0, 1])).toEqual([
    { from: 2, to: 5, only: null, needs: ['b'], partitions: [0, 1] },
    { from: 5, to: 9, only: null, needs: ['a', 'b'], partitions: [0, 1] },
  ])
})

test('without outputs everything is taken', () => {
  expect(planSections([{ from: 0, to: 3, only: null }], [], [0, 1])).toMatchObject([{ from: 0, to: 3, needs: [], partitions: [0, 1] }])
})

test('outputs that need different chunks have partitions of their own, and too few of them are told', () => {
  const stretches = [{ from: 0, to: 1, only: ['a'] }, { from: 1, to: 2, only: ['b'] }, { from: 2, to: 3, only: null }]
  const outputs = [{ name: 'a', chunk: 0 }, { name: 'b', chunk: 0 }]
  expect(planSections(stretches, outputs, [0, 1, 2]).map(({ needs, partitions }) => [needs, partitions])).toEqual([[['a'], [0, 2]], [['b'], [1]], [['a', 'b'], [0, 1, 2]]])
  expect(() => planSections(stretches, outputs, [0])).toThrow(/need 2 partitions, and the events topic has 1/)
})
