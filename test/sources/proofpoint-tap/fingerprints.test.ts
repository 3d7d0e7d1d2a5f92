import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Window } from '../../../src/pipeline/unit.ts'
import { FingerprintTable } from '../../../src/sources/proofpoint-tap/fingerprints.ts'

const HOUR: Window = { from: 0, to: 3_600_000 }
const NEXT_HOUR: Window = { from: 3_600_000, to: 7_200_000 }
const out = new Uint8Array(16)

function digestOf(name: string | number): string {
  return createHash('sha256').update(String(name)).digest('binary')
}

/** Fingerprints of the new ones among the digests, 'hex'; null for the others. */
function show(table: FingerprintTable, window: Window, digests: readonly string[]): (string | null)[] {
  table.beginResponse(window)
  return digests.map((digest) => (table.add(digest, out, 0) ? Buffer.from(out).toString('hex') : null))
}

const news = (results: readonly (string | null)[]): number => results.filter((result) => result !== null).length
const packed = (results: readonly (string | null)[]): Uint8Array => Buffer.from(results.filter((result) => result !== null).join(''), 'hex')

describe('FingerprintTable', () => {
  it('knows an event again in the next response, in whatever window', () => {
    const table = new FingerprintTable()
    expect(news(show(table, HOUR, [digestOf('x'), digestOf('y')]))).toBe(2)
    expect(news(show(table, NEXT_HOUR, [digestOf('y'), digestOf('x')]))).toBe(0)
    expect(table.size).toBe(2)
  })

  it('lets n equal events of one response through, and of the next only those beyond n', () => {
    const table = new FingerprintTable()
    const first = show(table, HOUR, Array.from({ length: 5 }, () => digestOf('x')))
    expect(new Set(first).size).toBe(5)
    expect(first).not.toContain(null)
    expect(news(show(table, HOUR, Array.from({ length: 5 }, () => digestOf('x'))))).toBe(0)
    const third = show(table, HOUR, Array.from({ length: 6 }, () => digestOf('x')))
    expect(third.slice(0, 5)).toEqual([null, null, null, null, null])
    expect(third[5]).not.toBeNull()
    expect(news(show(table, HOUR, [digestOf('x')]))).toBe(0)
  })

  it('counts a hundred thousand equal events without going over all of them each time', () => {
    const table = new FingerprintTable()
    const many = new Array<string>(100_000).fill(digestOf('x'))
    expect(news(show(table, HOUR, many))).toBe(100_000)
    expect(news(show(table, HOUR, many))).toBe(0)
  })

  it('starts from what was saved', () => {
    const before = new FingerprintTable()
    const digests = Array.from({ length: 3000 }, (_, n) => digestOf(n % 1000))
    const first = show(before, HOUR, digests.slice(0, 1500))
    const second = show(before, NEXT_HOUR, digests)
    const after = new FingerprintTable([
      { window: HOUR, fingerprints: packed(first).subarray(0, 800) },
      { window: HOUR, fingerprints: packed(first).subarray(800) },
      { window: NEXT_HOUR, fingerprints: packed(second) },
    ])
    expect(after.size).toBe(3000)
    expect(after.windows()).toEqual([HOUR, NEXT_HOUR])
    expect(news(show(after, NEXT_HOUR, [...digests].reverse()))).toBe(0)
    after.forget([{ ...HOUR }])
    expect(after.size).toBe(1500)
    expect(after.windows()).toEqual([NEXT_HOUR])
  })

  it('names a window as long as it holds something that it showed first', () => {
    const table = new FingerprintTable()
    show(table, HOUR, [digestOf(1)])
    show(table, NEXT_HOUR, [digestOf(1)])
    expect(table.windows()).toEqual([HOUR])
    show(table, NEXT_HOUR, [digestOf(2)])
    expect(table.windows()).toEqual([HOUR, NEXT_HOUR])
    table.forget([HOUR, { from: 1, to: 2 }])
    expect(table.windows()).toEqual([NEXT_HOUR])
    expect(news(show(table, NEXT_HOUR, [digestOf(1), digestOf(2)]))).toBe(1)
  })

  it('goes on with the window that is being read after forgetting it', () => {
    const table = new FingerprintTable()
    table.beginResponse(HOUR)
    table.add(digestOf(1), out, 0)
    table.forget([HOUR])
    table.add(digestOf(2), out, 0)
    expect(table.windows()).toEqual([HOUR])
    expect(table.size).toBe(1)
    show(table, NEXT_HOUR, [])
    table.forget([HOUR])
    expect(table.size).toBe(0)
    expect(table.windows()).toEqual([])
  })

  it('takes single fingerprints out again', () => {
    const table = new FingerprintTable()
    const results = show(table, HOUR, Array.from({ length: 4 }, () => digestOf('x')))
    table.remove(packed(results.slice(2)))
    expect(table.size).toBe(2)
    expect(show(table, HOUR, Array.from({ length: 4 }, () => digestOf('x')))).toEqual([null, null, results[2], results[3]])
  })

  it('is small when it starts, holds an event in 32 to 50 bytes, and shrinks', () => {
    const table = new FingerprintTable()
    expect(table.byteLength).toBeLessThanOrEqual(1024 * 24)
    for (let hour = 0; hour < 10; hour += 1) {
      table.beginResponse({ from: hour, to: hour + 1 })
      for (let n = 0; n < 10_000; n += 1) table.add(digestOf(hour * 10_000 + n), out, 0)
      expect(table.byteLength / table.size).toBeLessThan(50)
    }
    const full = table.byteLength
    for (let hour = 0; hour < 9; hour += 1) table.forget([{ from: hour, to: hour + 1 }])
    expect(table.size).toBe(10_000)
    expect(table.byteLength).toBeLessThan(full / 2)
    expect(news(show(table, HOUR, Array.from({ length: 10_000 }, (_, n) => digestOf(90_000 + n))))).toBe(0)
  })

  it('refuses to remember without a window', () => {
    expect(() => new FingerprintTable().add(digestOf(1), out, 0)).toThrow('before any response began')
  })

  it('does what a plain map of ordinals does, also where fingerprints crowd', () => {
    // Digests with few first words, at the end of the table and at its beginning, so that they stand in each other's places and around the corner.
    const digest = fc.tuple(fc.constantFrom('\xff\xff\xff\xff', '\xff\xff\xff\x00', '\x00\x00\x00\x00', '\x00\x40\x00\x00'), fc.integer({ min: 0, max: 40 })).map(
      ([first, n]) => `${first}${String(n).padEnd(12, '-')}`,
    )
    const window = fc.integer({ min: 0, max: 3 }).map((from) => ({ from, to: from + 1 }))
    const action = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('response' as const), window, digests: fc.array(digest, { maxLength: 60 }), undo: fc.integer({ min: 0, max: 5 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget' as const), windows: fc.array(window, { maxLength: 2 }) }) },
    )
    fc.assert(
      fc.property(fc.array(action, { maxLength: 12 }), (actions) => {
        const table = new FingerprintTable()
        const model = new Map<string, Window>()
        for (const step of actions) {
          if (step.kind === 'forget') {
            table.forget(step.windows)
            for (const [key, { from }] of model) if (step.windows.some((forgotten) => forgotten.from === from)) model.delete(key)
          } else {
            const counts = new Map<string, number>()
            const keys: string[] = []
            const expected = step.digests.map((name) => {
              const n = counts.get(name) ?? 0
              counts.set(name, n + 1)
              const key = `${name}#${n}`
              if (model.has(key)) return false
              model.set(key, step.window)
              keys.push(key)
              return true
            })
            const results = show(table, step.window, step.digests)
            expect(results.map((result) => result !== null)).toEqual(expected)
            const fingerprints = results.filter((result) => result !== null)
            table.remove(packed(fingerprints.slice(fingerprints.length - step.undo)))
            for (const key of keys.slice(keys.length - step.undo)) model.delete(key)
          }
          expect(table.size).toBe(model.size)
          expect(table.windows().map(({ from }) => from).sort()).toEqual([...new Set([...model.values()].map(({ from }) => from))].sort())
        }
      }),
      { numRuns: 300 },
    )
  })
})
