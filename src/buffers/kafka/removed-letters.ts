import type { Window } from '../../pipeline/unit.ts'

/** Offsets of the dead-letter topic, half-open. */
export type LetterRange = Window

/** Which dead letters were sent again or dropped: the topic itself only ever grows at its end and is cut at its start. */
export class RemovedLetters {
  readonly #ranges = new Map<string, LetterRange>()
  /** Ascending and apart from each other; null: to be made anew. */
  #merged: readonly LetterRange[] | null = null

  /** What is no range holds no offset. */
  add(range: LetterRange): void {
    if (range.from >= range.to) return
    this.#ranges.set(nameOf(range), range)
    this.#merged = null
  }

  delete(range: LetterRange): void {
    if (this.#ranges.delete(nameOf(range))) this.#merged = null
  }

  has(offset: number): boolean {
    return this.behind(offset) > offset
  }

  /** The first offset from the given one on that was not removed. */
  behind(offset: number): number {
    const ranges = this.#apart()
    let low = 0
    let high = ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((ranges[middle]?.to ?? 0) > offset) high = middle
      else low = middle + 1
    }
    const range = ranges[low]
    return range !== undefined && range.from <= offset ? range.to : offset
  }

  /** Behind the last one that was removed; 0 where none was. */
  get end(): number {
    return this.#apart().at(-1)?.to ?? 0
  }

  /** As they were added. */
  ranges(): readonly LetterRange[] {
    return [...this.#ranges.values()]
  }

  /** What says the same of all offsets from the start on in as few ranges as can be: these more, and then those no longer. */
  tidied(start: number): { readonly more: readonly LetterRange[]; readonly noLonger: readonly LetterRange[] } {
    const wanted = new Map(this.#apart().filter(({ to }) => to > start).map((range) => [nameOf(range), range]))
    return {
      more: [...wanted].filter(([name]) => !this.#ranges.has(name)).map(([, range]) => range),
      noLonger: this.ranges().filter((range) => !wanted.has(nameOf(range))),
    }
  }

  #apart(): readonly LetterRange[] {
    this.#merged ??= merged(this.ranges())
    return this.#merged
  }
}

/** The ranges of offsets that ascend. */
export function rangesOf(offsets: readonly number[]): LetterRange[] {
  return merged(offsets.map((from) => ({ from, to: from + 1 })))
}

function merged(ranges: readonly LetterRange[]): LetterRange[] {
  const apart: LetterRange[] = []
  for (const { from, to } of ranges.toSorted((a, b) => a.from - b.from)) {
    const last = apart.at(-1)
    if (last === undefined || from > last.to) apart.push({ from, to })
    else if (to > last.to) apart[apart.length - 1] = { from: last.from, to }
  }
  return apart
}

function nameOf({ from, to }: LetterRange): string {
  return `${from}-${to}`
}
