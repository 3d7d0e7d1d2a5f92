import { has, LAST_UNIT, union, WORD } from './char-set.ts'
import { parsePattern, type Assertion } from './parse.ts'
import { programOf, type Program } from './program.ts'

/** What the last code unit was: the assertions look at it. */
type Before = 'nothing' | 'word' | 'other'

interface Place {
  readonly states: readonly number[]
  readonly before: Before
  /** Where each class of code units leads; the last one is the end of the text. Filled as they are met. */
  readonly next: (Place | 'found' | undefined)[]
}

/** Each has a list of states: the memory of a pattern, whatever the texts. */
const MAX_PLACES = 2_000

/**
 * A search for a regular expression whose time grows with the text and with nothing else, whatever pattern and text: events hold what strangers have
 * written, and JavaScript's own search may take years for fifty characters. Throws PatternError.
 */
export function compilePattern(text: string, ignoreCase: boolean): (text: string) => boolean {
  const search = new Search(programOf(parsePattern(text, ignoreCase)))
  return (value) => search.test(value)
}

class Search {
  readonly #program: Program
  /** The class of each code unit: those that no part of the pattern tells apart are one. */
  readonly #classOf = new Uint16Array(LAST_UNIT + 1)
  /** Any code unit of each class. */
  readonly #sample: number[] = []
  readonly #places = new Map<string, Place>()
  #start: Place

  constructor(program: Program) {
    this.#program = program
    this.#classify()
    this.#start = this.#place([], 'nothing')
  }

  test(text: string): boolean {
    let place = this.#start
    for (let at = 0; at < text.length; at += 1) {
      const next = this.#follow(place, this.#classOf[text.charCodeAt(at)] ?? 0)
      if (next === 'found') return true
      place = next
    }
    return this.#follow(place, this.#sample.length) === 'found'
  }

  #follow(place: Place, unitClass: number): Place | 'found' {
    const known = place.next[unitClass]
    if (known !== undefined) return known
    const unit = this.#sample[unitClass] ?? null
    const next = this.#step(place, unit)
    place.next[unitClass] = next
    return next
  }

  /** From a place over one code unit, or to the end (null); a match may begin at each of them. */
  #step({ states, before }: Place, unit: number | null): Place | 'found' {
    const { states: all, start } = this.#program
    const behind = new Set<number>()
    const seen = new Set<number>()
    const open = [...states, start]
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      if (seen.has(index)) continue
      seen.add(index)
      const state = all[index]
      if (state === undefined) throw new RangeError(`no state ${index}`)
      if (state.kind === 'found') return 'found'
      if (state.kind === 'split') open.push(...state.next)
      else if (state.kind === 'assert') {
        if (holds(state.what, before, unit)) open.push(state.next)
      } else if (unit !== null && has(state.set, unit)) behind.add(state.next)
    }
    return this.#place([...behind].sort((a, b) => a - b), unit !== null && has(WORD, unit) ? 'word' : 'other')
  }

  #place(states: readonly number[], before: Before): Place {
    const name = `${before} ${states.join(' ')}`
    const known = this.#places.get(name)
    if (known !== undefined) return known
    if (this.#places.size >= MAX_PLACES) this.#forget()
    const place: Place = { states, before, next: [] }
    this.#places.set(name, place)
    return place
  }

  #forget(): void {
    this.#places.clear()
    this.#start = { states: [], before: 'nothing', next: [] }
  }

  #classify(): void {
    const sets = [WORD, ...this.#program.states.flatMap((state) => (state.kind === 'set' ? [state.set] : []))]
    const edges = new Set([0])
    for (const set of sets) for (const [from, to] of set) edges.add(from).add(to + 1)
    const names = new Map<string, number>()
    const starts = [...edges].filter((edge) => edge <= LAST_UNIT).sort((a, b) => a - b)
    const distinct = [...new Map(sets.map((set) => [JSON.stringify(union(set)), set])).values()]
    for (const [position, start] of starts.entries()) {
      const name = distinct.map((set) => (has(set, start) ? '1' : '0')).join('')
      const known = names.get(name) ?? names.size
      if (known === names.size) {
        names.set(name, known)
        this.#sample.push(start)
      }
      this.#classOf.fill(known, start, starts[position + 1] ?? LAST_UNIT + 1)
    }
  }
}

function holds(what: Assertion, before: Before, unit: number | null): boolean {
  switch (what) {
    case 'start':
      return before === 'nothing'
    case 'end':
      return unit === null
    case 'word-edge':
      return isEdge(before, unit)
    case 'no-word-edge':
      return !isEdge(before, unit)
  }
}

function isEdge(before: Before, unit: number | null): boolean {
  return (before === 'word') !== (unit !== null && has(WORD, unit))
}
