import { complement, DIGITS, LAST_UNIT, LINE_ENDS, union, WHITE_SPACE, withoutCase, WORD, type CharSet } from './char-set.ts'

export type Assertion = 'start' | 'end' | 'word-edge' | 'no-word-edge'

export type Expression =
  | { readonly kind: 'set'; readonly set: CharSet }
  | { readonly kind: 'assert'; readonly what: Assertion }
  | { readonly kind: 'sequence'; readonly parts: readonly Expression[] }
  | { readonly kind: 'choice'; readonly parts: readonly Expression[] }
  | { readonly kind: 'repeat'; readonly of: Expression; readonly min: number; readonly max: number }

/** What is wrong with a pattern, as the end of a sentence that begins with the pattern. */
export class PatternError extends Error {
  override readonly name = 'PatternError'
}

const MAX_REPEAT = 1000
const MAX_DEPTH = 50
const CONTROLS: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09, f: 0x0c, v: 0x0b, 0: 0 }
const CLASSES: Readonly<Record<string, CharSet>> = {
  d: DIGITS, D: complement(DIGITS), w: WORD, W: complement(WORD), s: WHITE_SPACE, S: complement(WHITE_SPACE),
}

/** Reads a regular expression in JavaScript's notation, without what no search in linear time can do. */
export function parsePattern(text: string, ignoreCase: boolean): Expression {
  return new Parser(text, ignoreCase).parse()
}

class Parser {
  readonly #text: string
  readonly #ignoreCase: boolean
  #at = 0

  constructor(text: string, ignoreCase: boolean) {
    this.#text = text
    this.#ignoreCase = ignoreCase
  }

  parse(): Expression {
    const expression = this.#choice(0)
    if (this.#at < this.#text.length) throw this.#wrong('has a ) without its (')
    return expression
  }

  #choice(depth: number): Expression {
    if (depth > MAX_DEPTH) throw this.#wrong(`is nested deeper than ${MAX_DEPTH} groups`)
    const parts = [this.#sequence(depth)]
    while (this.#take('|')) parts.push(this.#sequence(depth))
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : { kind: 'choice', parts }
  }

  #sequence(depth: number): Expression {
    const parts: Expression[] = []
    for (;;) {
      const next = this.#peek()
      if (next === '' || next === '|' || next === ')') return { kind: 'sequence', parts }
      parts.push(this.#repeated(this.#atom(depth)))
    }
  }

  #repeated(of: Expression): Expression {
    const bounds = this.#bounds()
    if (bounds === null) return of
    if (of.kind === 'assert') throw this.#wrong('repeats ^, $, \\b or \\B, which has no meaning')
    // How greedy it is makes no difference to whether there is a match.
    this.#take('?')
    if ('*+?'.includes(this.#peek() || '-')) throw this.#wrong('has one repetition right behind another')
    return { kind: 'repeat', of, ...bounds }
  }

  #bounds(): { readonly min: number; readonly max: number } | null {
    if (this.#take('*')) return { min: 0, max: Infinity }
    if (this.#take('+')) return { min: 1, max: Infinity }
    if (this.#take('?')) return { min: 0, max: 1 }
    const match = /^\{(\d{1,9})(?:(,)(\d{0,9}))?\}/.exec(this.#text.slice(this.#at))
    if (match === null) return null
    const [all, low = '', comma, high = ''] = match
    this.#at += all.length
    const min = Number(low)
    const max = comma === undefined ? min : high === '' ? Infinity : Number(high)
    if (max < min) throw this.#wrong(`has ${all}, whose first number is the larger one`)
    if (min > MAX_REPEAT || (max !== Infinity && max > MAX_REPEAT)) throw this.#wrong(`has ${all}; at most ${MAX_REPEAT} repetitions are possible`)
    return { min, max }
  }

  #atom(depth: number): Expression {
    const first = this.#next()
    switch (first) {
      case '(':
        return this.#group(depth)
      case '[':
        return this.#class()
      case '.':
        return { kind: 'set', set: complement(LINE_ENDS) }
      case '^':
        return { kind: 'assert', what: 'start' }
      case '$':
        return { kind: 'assert', what: 'end' }
      case '\\':
        if (this.#take('b')) return { kind: 'assert', what: 'word-edge' }
        if (this.#take('B')) return { kind: 'assert', what: 'no-word-edge' }
        return this.#setOf(this.#escape())
      case '*':
      case '+':
      case '?':
        throw this.#wrong(`has ${first} with nothing before it that could be repeated`)
      default:
        return this.#setOf([unitOf(first)])
    }
  }

  #group(depth: number): Expression {
    if (this.#take('?') && !this.#take(':')) {
      if (/^<?[=!]/.test(this.#text.slice(this.#at))) throw this.#wrong('looks ahead or behind, which cannot be done in linear time; use two filters')
      const name = /^<[A-Za-z_$][\w$]*>/.exec(this.#text.slice(this.#at))
      if (name === null) throw this.#wrong('has (? with something that is not known behind it; for any case there is ignore_case: true')
      this.#at += name[0].length
    }
    const inside = this.#choice(depth + 1)
    if (!this.#take(')')) throw this.#wrong('has a ( without its )')
    return inside
  }

  #class(): Expression {
    const isNegated = this.#take('^')
    const sets: CharSet[] = []
    while (!this.#take(']')) {
      const low = this.#classItem()
      const isRange = this.#peek() === '-' && this.#at + 1 < this.#text.length && this.#text[this.#at + 1] !== ']'
      if (!isRange) {
        sets.push(low)
        continue
      }
      this.#at += 1
      const high = this.#classItem()
      const [from, to] = [single(low), single(high)]
      if (from === null || to === null || from > to) throw this.#wrong('has a range in [...] that does not go from one character up to another')
      sets.push([[from, to]])
    }
    const set = this.#cased(union(...sets))
    return { kind: 'set', set: isNegated ? complement(set) : set }
  }

  #classItem(): CharSet {
    const first = this.#next()
    if (first === '') throw this.#wrong('has a [ without its ]')
    if (first !== '\\') return [unitOf(first)]
    return this.#take('b') ? [[0x08, 0x08]] : this.#escape()
  }

  /** Behind a backslash. */
  #escape(): CharSet {
    const name = this.#next()
    const known = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined
    if (known !== undefined) return known
    const digitFollows = /^\d/.test(this.#peek())
    const control = Object.hasOwn(CONTROLS, name) && !(name === '0' && digitFollows) ? CONTROLS[name] : undefined
    if (control !== undefined) return [[control, control]]
    const digits = name === 'x' ? 2 : name === 'u' ? 4 : 0
    const code = this.#text.slice(this.#at, this.#at + digits)
    if (digits > 0 && code.length === digits && /^[0-9A-Fa-f]+$/.test(code)) {
      this.#at += digits
      return [[parseInt(code, 16), parseInt(code, 16)]]
    }
    if (/^\d$/.test(name)) throw this.#wrong(`refers to a group with \\${name}, which cannot be done in linear time`)
    if (name === '' || /^\w$/.test(name)) throw this.#wrong(`has \\${name}, which is not known`)
    return [unitOf(name)]
  }

  #setOf(set: CharSet): Expression {
    return { kind: 'set', set: this.#cased(set) }
  }

  #cased(set: CharSet): CharSet {
    return this.#ignoreCase ? withoutCase(set) : set
  }

  #peek(): string {
    return this.#text.charAt(this.#at)
  }

  #next(): string {
    const character = this.#peek()
    this.#at += 1
    return character
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false
    this.#at += 1
    return true
  }

  #wrong(what: string): PatternError {
    return new PatternError(what)
  }
}

function unitOf(character: string): readonly [number, number] {
  const unit = character.charCodeAt(0)
  return [unit, unit]
}

function single(set: CharSet): number | null {
  const [run] = set
  return set.length === 1 && run !== undefined && run[0] === run[1] && run[1] <= LAST_UNIT ? run[0] : null
}
