import fc from 'fast-check'
import { expect, test } from 'vitest'
import { planStages, type OutputOffsets, type Stage } from '../../../src/buffers/move/regions.ts'

const outputs = (...offsets: readonly (readonly [string, readonly number[]])[]): OutputOffsets[] =>
  offsets.map(([name, of]) => ({ name, offsets: new Map(of.entries()) }))
const shown = (stages: readonly Stage[]): string[] =>
  stages.map(({ needs, regions }) => `${needs.join('+')}: ${regions.map(({ partition, from, to }) => `${partition}[${from},${to})`).join(' ')}`)

test('an output that is ahead of another one everywhere begins behind what only the other one needs', () => {
  const plan = planStages(outputs(['a', [10, 20]], ['b', [5, 20]]), new Map([[0, 0], [1, 0]]), new Map([[0, 30], [1, 30]]))
  expect(shown(plan)).toEqual(['b: 0[5,10)', 'a+b: 0[10,30) 1[20,30)'])
})

test('outputs of which none is ahead have each its own', () => {
  const plan = planStages(outputs(['a', [10, 30]], ['b', [30, 20]]), new Map([[0, 0], [1, 0]]), new Map([[0, 30], [1, 30]]))
  expect(shown(plan)).toEqual(['a: 0[10,30)', 'b: 1[20,30)'])
})

test('without outputs everything is for whichever come', () => {
  expect(shown(planStages([], new Map([[0, 7], [1, 4]]), new Map([[0, 9], [1, 4]])))).toEqual([': 0[7,9)'])
})

test('every output gets all from its offset on, once and in order, and nothing else', () => {
  const vector = fc.array(fc.nat(20), { minLength: 3, maxLength: 3 })
  fc.assert(
    fc.property(fc.array(vector, { minLength: 1, maxLength: 4 }), vector, (vectors, ends) => {
      const all = vectors.map((offsets, index) => ({ name: `o${index}`, offsets: new Map(offsets.entries()) }))
      const stages = planStages(all, new Map([[0, 0], [1, 0], [2, 0]]), new Map(ends.entries()))
      for (const { name, offsets } of all) {
        const next = new Map(offsets)
        for (const { needs, regions } of stages) {
          if (!needs.includes(name)) continue
          for (const { partition, from, to } of regions) {
            expect(from).toBe(next.get(partition))
            next.set(partition, to)
          }
        }
        for (const [partition, end] of ends.entries()) expect(next.get(partition)).toBe(Math.max(end, offsets.get(partition) ?? 0))
      }
      for (const { needs } of stages) expect(needs).not.toEqual([])
    }),
  )
})
