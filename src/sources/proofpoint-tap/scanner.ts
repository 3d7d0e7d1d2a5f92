import {
  BACKSLASH, byteAt, CLOSE_BRACE, CLOSE_BRACKET, COLON, COMMA, endOfPlainRun, isWhiteSpace, OPEN_BRACE, OPEN_BRACKET, QUOTE, SPACE, ZERO,
} from './bytes.ts'
import { keyOrder, Outline, PATCHED_ARRAY, SORTED_ARRAY } from './outline.ts'

/** Levels of objects and arrays in an event, itself the first. */
export const MAX_DEPTH = 64

const NINE = 0x39
const MINUS = 0x2d
const PLUS = 0x2b
const DOT = 0x2e
const LOWER_E = 0x65
const UPPER_E = 0x45
const LOWER_U = 0x75

/** The literals as little-endian words. */
const TRUE = 0x65757274
const NULL = 0x6c6c756e
const ALSE = 0x65736c61
const LOWER_F = 0x66

/** Bytes that may follow a backslash, and hexadecimal digits. */
const ESCAPABLE = flags('"\\/bfnrt')
const HEXADECIMAL = flags('0123456789abcdefABCDEF')

/** Arrays of an event whose elements come in another order in another response (facts of the API): their order is no part of the event. */
const UNORDERED_ARRAYS = ['messageParts', 'threatsInfoMap'].map((name) => Buffer.from(`"${name}"`).toString('latin1'))

/** Decides over the bytes of one element whether it is a JSON object (RFC 8259, as `JSON.parse` decides, but for the depth), and outlines it. */
export class Scanner {
  /** Outline of the object scanned last; `root` is its index there, 0 where the object is canonical as it stands. */
  readonly outline = new Outline()
  root = 0
  /** True where the object scanned last has white space between its tokens. */
  hasWhiteSpace = false
  /** What was wrong with the element scanned last, for a person. */
  problem = ''

  /** Index behind the object that begins at `start`, or -1: not valid up to `limit`, or not ended there. Strings may hold bytes that are not UTF-8. */
  scan(bytes: Uint8Array, view: DataView, start: number, limit: number): number {
    this.outline.reset()
    this.root = 0
    this.hasWhiteSpace = false
    if (start >= limit || byteAt(bytes, start) !== OPEN_BRACE) return this.#fail('not an object', start, start)
    const end = this.#object(bytes, view, start, limit, 1, start)
    return end
  }

  #object(bytes: Uint8Array, view: DataView, start: number, limit: number, depth: number, origin: number): number {
    const outline = this.outline
    const base = outline.open()
    let at = this.#token(bytes, start + 1, limit)
    let byte = at < limit ? byteAt(bytes, at) : 0
    if (byte === CLOSE_BRACE) {
      this.root = 0
      return at + 1
    }
    for (;;) {
      if (byte !== QUOTE) return this.#unexpected(bytes, at, limit, origin, 'a key')
      const keyStart = at
      const keyEnd = this.#string(bytes, view, at + 1, limit, origin)
      // The key's bytes are read four at a time; a whole object goes on that far behind its key.
      if (keyEnd < 0 || keyStart + 5 > limit) return keyEnd < 0 ? -1 : this.#unexpected(bytes, limit, limit, origin, 'a value')
      at = this.#token(bytes, keyEnd, limit)
      if (at >= limit || byteAt(bytes, at) !== COLON) return this.#unexpected(bytes, at, limit, origin, 'a colon')
      at = this.#token(bytes, at + 1, limit)
      byte = at < limit ? byteAt(bytes, at) : 0
      let child = 0
      if (byte === QUOTE) at = this.#string(bytes, view, at + 1, limit, origin)
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (depth === MAX_DEPTH) return this.#fail(`deeper than ${MAX_DEPTH} levels`, at, origin)
        at =
          byte === OPEN_BRACE
            ? this.#object(bytes, view, at, limit, depth + 1, origin)
            : this.#array(bytes, view, at, limit, depth + 1, origin, depth === 1 && isUnordered(bytes, keyStart, keyEnd))
        child = this.root
      } else at = this.#scalar(bytes, view, at, limit, origin)
      if (at < 0) return -1
      outline.add(keyStart, at, child, keyOrder(view, keyStart, keyEnd))
      at = this.#token(bytes, at, limit)
      byte = at < limit ? byteAt(bytes, at) : 0
      if (byte === COMMA) {
        at = this.#token(bytes, at + 1, limit)
        byte = at < limit ? byteAt(bytes, at) : 0
        continue
      }
      if (byte !== CLOSE_BRACE) return this.#unexpected(bytes, at, limit, origin, 'a comma or the end of an object')
      this.root = outline.closeObject(view, base, start, at + 1)
      return at + 1
    }
  }

  #array(bytes: Uint8Array, view: DataView, start: number, limit: number, depth: number, origin: number, unordered: boolean): number {
    const outline = this.outline
    const base = outline.open()
    let at = this.#token(bytes, start + 1, limit)
    let byte = at < limit ? byteAt(bytes, at) : 0
    if (byte === CLOSE_BRACKET) {
      this.root = 0
      return at + 1
    }
    for (;;) {
      const elementStart = at
      let child = 0
      if (byte === QUOTE) at = this.#string(bytes, view, at + 1, limit, origin)
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (depth === MAX_DEPTH) return this.#fail(`deeper than ${MAX_DEPTH} levels`, at, origin)
        at =
          byte === OPEN_BRACE
            ? this.#object(bytes, view, at, limit, depth + 1, origin)
            : this.#array(bytes, view, at, limit, depth + 1, origin, false)
        child = this.root
      } else at = this.#scalar(bytes, view, at, limit, origin)
      if (at < 0) return -1
      if (unordered || child !== 0) outline.add(elementStart, at, child, 0)
      at = this.#token(bytes, at, limit)
      byte = at < limit ? byteAt(bytes, at) : 0
      if (byte === COMMA) {
        at = this.#token(bytes, at + 1, limit)
        byte = at < limit ? byteAt(bytes, at) : 0
        continue
      }
      if (byte !== CLOSE_BRACKET) return this.#unexpected(bytes, at, limit, origin, 'a comma or the end of an array')
      this.root = outline.closeArray(unordered ? SORTED_ARRAY : PATCHED_ARRAY, base, start, at + 1)
      return at + 1
    }
  }

  /** Index of the next token from `at` on. */
  #token(bytes: Uint8Array, at: number, limit: number): number {
    if (at >= limit || byteAt(bytes, at) > SPACE) return at
    let next = at
    while (next < limit && isWhiteSpace(byteAt(bytes, next))) next += 1
    if (next !== at) this.hasWhiteSpace = true
    return next
  }

  /** Index behind the closing quote of the string whose content begins at `from`. */
  #string(bytes: Uint8Array, view: DataView, from: number, limit: number, origin: number): number {
    let at = from
    for (;;) {
      at = endOfPlainRun(view, at, limit)
      if (at >= limit) return this.#unexpected(bytes, at, limit, origin, 'the end of a string')
      const byte = byteAt(bytes, at)
      if (byte === QUOTE) return at + 1
      if (byte !== BACKSLASH) return this.#fail(`a control character (0x${hex(byte)}) inside a string`, at, origin)
      const escaped = at + 1 < limit ? byteAt(bytes, at + 1) : 0
      if (escaped === LOWER_U) {
        for (let digit = at + 2; digit < at + 6; digit += 1) {
          if (digit >= limit || HEXADECIMAL[byteAt(bytes, digit)] !== 1) return this.#fail('a \\u escape without four hexadecimal digits', at, origin)
        }
        at += 6
      } else if (ESCAPABLE[escaped] === 1) at += 2
      else return this.#fail('an unknown escape inside a string', at, origin)
    }
  }

  #scalar(bytes: Uint8Array, view: DataView, start: number, limit: number, origin: number): number {
    if (start + 4 <= limit) {
      const word = view.getInt32(start, true)
      if (word === TRUE || word === NULL) return start + 4
      if ((word & 0xff) === LOWER_F && start + 5 <= limit && view.getInt32(start + 1, true) === ALSE) return start + 5
    }
    return this.#number(bytes, start, limit, origin)
  }

  #number(bytes: Uint8Array, start: number, limit: number, origin: number): number {
    let at = start
    if (at < limit && byteAt(bytes, at) === MINUS) at += 1
    const whole = endOfDigits(bytes, at, limit)
    if (whole === at) return this.#unexpected(bytes, start, limit, origin, 'a value')
    if (byteAt(bytes, at) === ZERO && whole > at + 1) return this.#fail('a number that begins with 0', start, origin)
    at = whole
    if (at < limit && byteAt(bytes, at) === DOT) {
      const fraction = endOfDigits(bytes, at + 1, limit)
      if (fraction === at + 1) return this.#fail('a number without digits behind its point', start, origin)
      at = fraction
    }
    const exponent = at < limit ? byteAt(bytes, at) : 0
    if (exponent === LOWER_E || exponent === UPPER_E) {
      at += 1
      const sign = at < limit ? byteAt(bytes, at) : 0
      if (sign === PLUS || sign === MINUS) at += 1
      const digits = endOfDigits(bytes, at, limit)
      if (digits === at) return this.#fail('a number without digits in its exponent', start, origin)
      at = digits
    }
    return at
  }

  #unexpected(bytes: Uint8Array, at: number, limit: number, origin: number, expected: string): -1 {
    if (at >= limit) return this.#fail(`it ends where ${expected} should come`, limit, origin)
    return this.#fail(`0x${hex(byteAt(bytes, at))} where ${expected} should come`, at, origin)
  }

  #fail(what: string, at: number, origin: number): -1 {
    this.problem = `${what} (at byte ${at - origin})`
    return -1
  }
}

function endOfDigits(bytes: Uint8Array, from: number, limit: number): number {
  let at = from
  while (at < limit) {
    const byte = byteAt(bytes, at)
    if (byte < ZERO || byte > NINE) break
    at += 1
  }
  return at
}

function isUnordered(bytes: Uint8Array, keyStart: number, keyEnd: number): boolean {
  const length = keyEnd - keyStart
  return UNORDERED_ARRAYS.some((key) => {
    if (key.length !== length) return false
    for (let index = 0; index < length; index += 1) if (key.charCodeAt(index) !== byteAt(bytes, keyStart + index)) return false
    return true
  })
}

function flags(characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const character of characters) table[character.charCodeAt(0)] = 1
  return table
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}
