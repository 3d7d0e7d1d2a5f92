/** Sets of UTF-16 code units, as sorted runs [from, to] that do not touch. */
export type CharSet = readonly (readonly [from: number, to: number])[]

export const LAST_UNIT = 0xffff
export const DIGITS: CharSet = [[0x30, 0x39]]
export const WORD: CharSet = [[0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]
export const WHITE_SPACE: CharSet = [
  [0x09, 0x0d], [0x20, 0x20], [0xa0, 0xa0], [0x1680, 0x1680], [0x2000, 0x200a], [0x2028, 0x2029], [0x202f, 0x202f], [0x205f, 0x205f],
  [0x3000, 0x3000], [0xfeff, 0xfeff],
]
export const LINE_ENDS: CharSet = [[0x0a, 0x0a], [0x0d, 0x0d], [0x2028, 0x2029]]

export function has(set: CharSet, unit: number): boolean {
  return set.some(([from, to]) => unit >= from && unit <= to)
}

export function union(...sets: readonly CharSet[]): CharSet {
  const runs: [number, number][] = []
  for (const [from, to] of sets.flat().toSorted((a, b) => a[0] - b[0])) {
    const last = runs.at(-1)
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to)
    else runs.push([from, to])
  }
  return runs
}

export function complement(set: CharSet): CharSet {
  const runs: [number, number][] = []
  let from = 0
  for (const [start, end] of set) {
    if (start > from) runs.push([from, start - 1])
    from = end + 1
  }
  if (from <= LAST_UNIT) runs.push([from, LAST_UNIT])
  return runs
}

/** All that is one of the set but for its case, as JavaScript's flag `i` sees it. */
export function withoutCase(set: CharSet): CharSet {
  cases ??= findCases()
  const more: [number, number][] = []
  for (const [unit, others] of cases) if (has(set, unit)) for (const other of others) more.push([other, other])
  return union(set, more)
}

/** The code units that differ from others by their case alone, each with all of its kind. */
let cases: readonly (readonly [unit: number, others: readonly number[]])[] | undefined

function findCases(): readonly (readonly [number, readonly number[]])[] {
  const kinds = new Map<number, number[]>()
  for (let unit = 0; unit <= LAST_UNIT; unit += 1) {
    const kind = kinds.get(upper(unit))
    if (kind === undefined) kinds.set(upper(unit), [unit])
    else kind.push(unit)
  }
  return [...kinds.values()].filter((kind) => kind.length > 1).flatMap((kind) => kind.map((unit) => [unit, kind] as const))
}

function upper(unit: number): number {
  const text = String.fromCharCode(unit).toUpperCase()
  const code = text.charCodeAt(0)
  return text.length !== 1 || (unit >= 128 && code < 128) ? unit : code
}
