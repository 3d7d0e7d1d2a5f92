import {
  BACKSLASH, byteAt, CLOSE_BRACE, CLOSE_BRACKET, COMMA, dataView, endOfPlainRun, isWhiteSpace, OPEN_BRACE, OPEN_BRACKET, QUOTE, SPACE, ZERO,
} from './bytes.ts'
import { Carry } from './carry.ts'

/** The most bytes that `give` takes. */
export const MAX_SLICE_BYTES = 64 * 1024

/** What `next` found. */
export type Found = 'slice-end' | 'array' | 'object-start' | 'element'

/** Outside: in the envelope. Before and behind: in an array, before and behind an element. */
type Place = 'outside' | 'before' | 'behind' | 'inside'

/**
 * Cuts the elements of the arrays that are values of the top-level object out of a stream of bytes. It knows strings, escapes and depth, and
 * nothing of what is valid: everything else is passed on, with `0 ` in an element's place, for the envelope's parser to judge.
 *
 * Use: `give` a slice, then call `next` until 'slice-end'.
 * - 'array': an array begins; set `keep` to tell whether its elements are wanted.
 * - 'object-start': an element of a kept array begins with a brace at `start`. Whoever finds its end within the slice may `skip` there;
 *   otherwise the next call goes on carving it.
 * - 'element': an element of a kept array is whole: [start, end) of `bytes`, valid until the next call. Of one above MAX_ELEMENT_BYTES (`oversize`)
 *   that is only the head.
 */
export class Carver {
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  view: DataView<ArrayBuffer> = dataView(this.bytes)
  start = 0
  end = 0
  keep = true
  /** Length of the whole element. */
  size = 0
  oversize = false
  /** Elements so far, kept or not. */
  elements = 0
  /** Bytes passed on from outside the arrays; what is between their elements is not counted, for a long response has much of it. */
  outsideBytes = 0

  #slice: Uint8Array<ArrayBuffer> = this.bytes
  #sliceView: DataView<ArrayBuffer> = this.view
  #at = 0

  #place: Place = 'outside'
  /** Outside: levels of the envelope. Inside: levels of the element. */
  #depth = 0
  #inString = false
  /** The byte before was a backslash in a string. */
  #escaped = false
  /** Inside a number, a literal or rubbish: it ends before the next delimiter. */
  #bare = false

  /** Where the element's bytes in this slice begin. */
  #from = 0
  /** Its bytes of earlier slices. */
  readonly #carry = new Carry()

  /** Room for a slice of the shortest elements: two bytes (`5,`) become three (`0 ,`). */
  readonly #passed = new Uint8Array(MAX_SLICE_BYTES * 2)
  #passedEnd = 0

  give(slice: Uint8Array<ArrayBuffer>): void {
    this.#slice = slice
    this.#sliceView = dataView(slice)
    this.#at = 0
    this.#from = 0
  }

  /** What was passed on since the last call; valid until the next slice. */
  takePassed(): Uint8Array {
    const passed = this.#passed.subarray(0, this.#passedEnd)
    this.#passedEnd = 0
    return passed
  }

  next(): Found {
    for (;;) {
      if (this.#place === 'inside') {
        const found = this.#carve()
        if (found !== null) return found
      } else if (this.#place === 'outside') {
        return this.#passOutside()
      } else {
        const found = this.#passBetween()
        if (found !== null) return found
      }
    }
  }

  /** The element that began at `start` ends before `end` of the slice: it needs no carving. */
  skip(end: number): void {
    this.#at = end
    this.#finish()
  }

  /** SHA-256 of an oversize element, 'binary'; may be asked once. */
  digest(): string {
    return this.#carry.digest()
  }

  #passOutside(): 'slice-end' | 'array' {
    const slice = this.#slice
    const from = this.#at
    let at = from
    while (at < slice.length) {
      if (this.#inString) {
        const end = this.#endOfString(at)
        at = end < 0 ? slice.length : end
        continue
      }
      const byte = byteAt(slice, at)
      at += 1
      if (byte === QUOTE) this.#inString = true
      else if (byte === OPEN_BRACE) this.#depth += 1
      else if (byte === OPEN_BRACKET) {
        if (this.#depth === 1) {
          this.#pass(from, at)
          this.#at = at
          this.#place = 'before'
          return 'array'
        }
        this.#depth += 1
      } else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && this.#depth > 0) this.#depth -= 1
    }
    this.#pass(from, at)
    this.#at = at
    return 'slice-end'
  }

  /** From element to element of an array; null where an element or the envelope goes on. */
  #passBetween(): Found | null {
    const slice = this.#slice
    let at = this.#at
    while (at < slice.length) {
      const byte = byteAt(slice, at)
      if (byte === CLOSE_BRACKET) {
        this.#place = 'outside'
        this.#at = at
        // The bracket is passed on from there; the array was entered at level 1 and never counted.
        this.#depth = 2
        return null
      }
      if (this.#place === 'before' && byte !== COMMA && !isWhiteSpace(byte)) {
        this.#begin(at, byte)
        return this.keep && byte === OPEN_BRACE ? 'object-start' : null
      }
      if (byte === COMMA) this.#place = 'before'
      this.#passed[this.#passedEnd] = byte
      this.#passedEnd += 1
      at += 1
    }
    this.#at = at
    return 'slice-end'
  }

  #begin(at: number, byte: number): void {
    this.#place = 'inside'
    this.#depth = 0
    this.#inString = false
    this.#bare = byte !== OPEN_BRACE && byte !== OPEN_BRACKET && byte !== QUOTE
    this.#at = at
    this.#from = at
    this.#carry.begin()
    this.bytes = this.#slice
    this.view = this.#sliceView
    this.start = at
  }

  /** Goes on with the element; null where it ended and is not kept. */
  #carve(): 'slice-end' | 'element' | null {
    const end = this.#endOfElement()
    if (end < 0) {
      if (this.keep) this.#carryPiece(this.#slice.length)
      this.#at = this.#slice.length
      return 'slice-end'
    }
    this.#at = end
    if (this.keep) this.#collect(end)
    this.#finish()
    return this.keep ? 'element' : null
  }

  #finish(): void {
    this.#place = 'behind'
    this.#depth = 1
    this.elements += 1
    this.#passed[this.#passedEnd] = ZERO
    this.#passed[this.#passedEnd + 1] = SPACE
    this.#passedEnd += 2
  }

  /** Index behind the element in this slice, or -1. */
  #endOfElement(): number {
    const slice = this.#slice
    let at = this.#at
    if (this.#bare) {
      while (at < slice.length) {
        if (isDelimiter(byteAt(slice, at))) return at
        at += 1
      }
      return -1
    }
    let depth = this.#depth
    while (at < slice.length) {
      if (this.#inString) {
        at = this.#endOfString(at)
        if (at < 0) break
        if (depth === 0) return at
        continue
      }
      const byte = byteAt(slice, at)
      at += 1
      if (byte === QUOTE) this.#inString = true
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        depth -= 1
        if (depth <= 0) return at
      }
    }
    this.#depth = depth
    return -1
  }

  /** Goes on inside a string; index behind its closing quote, or -1. */
  #endOfString(from: number): number {
    const slice = this.#slice
    let at = from
    if (this.#escaped) {
      this.#escaped = false
      at += 1
    }
    for (;;) {
      at = endOfPlainRun(this.#sliceView, at, slice.length)
      if (at >= slice.length) return -1
      const byte = byteAt(slice, at)
      at += 1
      if (byte === QUOTE) {
        this.#inString = false
        return at
      }
      if (byte === BACKSLASH) {
        if (at === slice.length) {
          this.#escaped = true
          return -1
        }
        at += 1
      }
    }
  }

  #collect(end: number): void {
    this.oversize = false
    if (this.#carry.size === 0) {
      this.end = end
      this.size = end - this.start
      return
    }
    this.#carryPiece(end)
    this.bytes = this.#carry.bytes
    this.view = this.#carry.view
    this.start = 0
    this.end = this.#carry.length
    this.size = this.#carry.size
    this.oversize = this.#carry.isOversize
  }

  #carryPiece(end: number): void {
    this.#carry.add(this.#slice.subarray(this.#from, end))
    this.#from = end
  }

  #pass(from: number, to: number): void {
    this.#passed.set(this.#slice.subarray(from, to), this.#passedEnd)
    this.#passedEnd += to - from
    this.outsideBytes += to - from
  }
}

function isDelimiter(byte: number): boolean {
  return (
    byte === COMMA || byte === CLOSE_BRACKET || byte === OPEN_BRACKET || byte === CLOSE_BRACE || byte === OPEN_BRACE || byte === QUOTE || isWhiteSpace(byte)
  )
}
