import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assignPartitions, decodeClaim, encodeClaim, type Claim } from '../../src/kafka/group-assigner.ts'

const claims = fc.dictionary(
  fc.string({ minLength: 1, maxLength: 3 }),
  fc.record({ generation: fc.integer({ min: -1, max: 5 }), partitions: fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 8 }) }),
  { minKeys: 1, maxKeys: 8 },
)

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}

function held(assigned: ReadonlyMap<string, number[]>, generation: number): Map<string, Claim> {
  return new Map([...assigned].map(([id, partitions]) => [id, { generation, partitions }]))
}

describe('assignPartitions', () => {
  it('gives each partition to one member, and no member two more than another, whatever they claim', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 16 }), claims, (count, members) => {
        const assigned = assignPartitions(range(count), new Map(Object.entries(members)))
        expect([...assigned.keys()].sort()).toEqual(Object.keys(members).sort())
        expect([...assigned.values()].flat().sort((a, b) => a - b)).toEqual(range(count))
        const sizes = [...assigned.values()].map(({ length }) => length)
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('moves nothing when nothing has changed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 16 }), claims, (count, members) => {
        const first = assignPartitions(range(count), new Map(Object.entries(members)))
        expect(assignPartitions(range(count), held(first, 6))).toEqual(first)
      }),
    )
  })

  it('takes from a member only what a new one needs', () => {
    const before = new Map([['b', { generation: 1, partitions: [0, 1, 2, 3, 4, 5] }]])
    const after = assignPartitions(range(6), new Map([...before, ['a', { generation: -1, partitions: [] }]]))
    expect(after).toEqual(new Map([['a', [3, 4, 5]], ['b', [0, 1, 2]]]))
  })

  it('believes the younger of two claims', () => {
    const members = new Map([
      ['a', { generation: 3, partitions: [0, 1] }],
      ['b', { generation: 7, partitions: [0, 1] }],
    ])
    expect(assignPartitions(range(4), members)).toEqual(new Map([['a', [2, 3]], ['b', [0, 1]]]))
  })
})

describe('decodeClaim', () => {
  it('reads what encodeClaim wrote', () => {
    const claim = { generation: 12, partitions: [0, 3] }
    expect(decodeClaim(encodeClaim(claim))).toEqual(claim)
  })

  it.each([null, '', '{', '[]', '{"generation":"x","partitions":[]}', '{"generation":1,"partitions":3}'])('takes %j for no claim', (text) => {
    expect(decodeClaim(text === null ? null : Buffer.from(text))).toEqual({ generation: -1, partitions: [] })
  })
})
