import { byteAt, CLOSE_BRACE, CLOSE_BRACKET, COMMA, copyBytes, dataView, intAt, OPEN_BRACE, OPEN_BRACKET } from './bytes.ts'
import { ENTRY, HEADER, OBJECT, type Outline, SORTED_ARRAY } from './outline.ts'

const INITIAL_BYTES = 64 * 1024
/** Up to here an array is sorted in place. */
const FEW_ELEMENTS = 16

/**
 * Writes an event's canonical bytes from its outline: the same bytes, with the members of every object and the elements of the unordered arrays
 * in one fixed order. They are as long as the event itself, and live until the next one is written. The outline is used up.
 */
export class CanonicalWriter {
  #target = new Uint8Array(INITIAL_BYTES)
  #targetView = dataView(this.#target)
  #bytes = new Uint8Array(0)
  #view = dataView(this.#bytes)
  #tape = new Int32Array(0)

  write(bytes: Uint8Array<ArrayBuffer>, view: DataView<ArrayBuffer>, start: number, end: number, outline: Outline, root: number): Uint8Array {
    if (root === 0) return bytes.subarray(start, end)
    this.#reserve(end - start)
    this.#bytes = bytes
    this.#view = view
    this.#tape = outline.tape
    return this.#target.subarray(0, this.#value(root, 0))
  }

  #value(node: number, at: number): number {
    const kind = intAt(this.#tape, node)
    if (kind === OBJECT) return this.#object(node, at)
    return kind === SORTED_ARRAY ? this.#sortedArray(node, at) : this.#patchedArray(node, at)
  }

  #object(node: number, start: number): number {
    const tape = this.#tape
    const target = this.#target
    const last = node + HEADER + intAt(tape, node + 3) * ENTRY
    let at = start
    target[at] = OPEN_BRACE
    at += 1
    // Members that were neighbours and still are go in one run, with the comma between them.
    let runStart = 0
    let runEnd = 0
    for (let entry = node + HEADER; entry < last; entry += ENTRY) {
      const memberStart = intAt(tape, entry)
      const child = intAt(tape, entry + 2)
      if (child === 0 && runEnd !== 0 && memberStart === runEnd + 1) {
        runEnd = intAt(tape, entry + 1)
        continue
      }
      if (runEnd !== 0) at = this.#copy(runStart, runEnd, at)
      if (entry !== node + HEADER) {
        target[at] = COMMA
        at += 1
      }
      if (child === 0) {
        runStart = memberStart
        runEnd = intAt(tape, entry + 1)
      } else {
        runEnd = 0
        at = this.#copy(memberStart, intAt(tape, child + 1), at)
        at = this.#value(child, at)
      }
    }
    if (runEnd !== 0) at = this.#copy(runStart, runEnd, at)
    target[at] = CLOSE_BRACE
    return at + 1
  }

  #patchedArray(node: number, start: number): number {
    const tape = this.#tape
    const last = node + HEADER + intAt(tape, node + 3) * ENTRY
    let at = start
    let from = intAt(tape, node + 1)
    for (let entry = node + HEADER; entry < last; entry += ENTRY) {
      at = this.#copy(from, intAt(tape, entry), at)
      at = this.#value(intAt(tape, entry + 2), at)
      from = intAt(tape, entry + 1)
    }
    return this.#copy(from, intAt(tape, node + 2), at)
  }

  #sortedArray(node: number, start: number): number {
    const tape = this.#tape
    const target = this.#target
    const first = node + HEADER
    const last = first + intAt(tape, node + 3) * ENTRY
    let at = start
    let isSorted = true
    for (let entry = first; entry < last; entry += ENTRY) {
      target[at] = entry === first ? OPEN_BRACKET : COMMA
      at += 1
      const child = intAt(tape, entry + 2)
      const end = child === 0 ? this.#copy(intAt(tape, entry), intAt(tape, entry + 1), at) : this.#value(child, at)
      isSorted &&= entry === first || compare(target, intAt(tape, entry - ENTRY), intAt(tape, entry - ENTRY + 1), at, end) <= 0
      // From here on the entry tells where the element is in the target.
      tape[entry] = at
      tape[entry + 1] = end
      at = end
    }
    if (!isSorted) this.#sort(first, last, start)
    target[at] = CLOSE_BRACKET
    return at + 1
  }

  /** Sorts the elements whose entries lie at [first, last) of the tape; their array begins at `start` of the target. */
  #sort(first: number, last: number, start: number): void {
    const tape = this.#tape
    const target = this.#target
    // They are moved from a copy in the target's second half.
    const end = intAt(tape, last - ENTRY + 1)
    const half = target.length >>> 1
    target.copyWithin(half, start, end)
    if ((last - first) / ENTRY <= FEW_ELEMENTS) this.#orderFew(first, last)
    else this.#orderMany(first, last)
    let at = start + 1
    for (let entry = first; entry < last; entry += ENTRY) {
      const from = intAt(tape, entry)
      const to = intAt(tape, entry + 1)
      target.copyWithin(at, half + from - start, half + to - start)
      at += to - from
      target[at] = COMMA
      at += 1
    }
  }

  #orderFew(first: number, last: number): void {
    const tape = this.#tape
    for (let entry = first + ENTRY; entry < last; entry += ENTRY) {
      const from = intAt(tape, entry)
      const to = intAt(tape, entry + 1)
      let hole = entry
      while (hole > first && compare(this.#target, intAt(tape, hole - ENTRY), intAt(tape, hole - ENTRY + 1), from, to) > 0) {
        tape[hole] = intAt(tape, hole - ENTRY)
        tape[hole + 1] = intAt(tape, hole - ENTRY + 1)
        hole -= ENTRY
      }
      tape[hole] = from
      tape[hole + 1] = to
    }
  }

  #orderMany(first: number, last: number): void {
    const entries = this.#tape.slice(first, last)
    const order = new Uint32Array(entries.length / ENTRY).map((_, k) => k * ENTRY)
    order.sort((a, b) => compare(this.#target, intAt(entries, a), intAt(entries, a + 1), intAt(entries, b), intAt(entries, b + 1)))
    let to = first
    for (const entry of order) {
      this.#tape[to] = intAt(entries, entry)
      this.#tape[to + 1] = intAt(entries, entry + 1)
      to += ENTRY
    }
  }

  #copy(from: number, to: number, at: number): number {
    return copyBytes(this.#bytes, this.#view, from, to, this.#target, this.#targetView, at)
  }

  /** Makes room for a text of this length, and as much again for the sorting. */
  #reserve(length: number): void {
    const size = Math.max(2 * length, INITIAL_BYTES)
    if (size <= this.#target.length && this.#target.length <= size * 16) return
    this.#target = new Uint8Array(size)
    this.#targetView = dataView(this.#target)
  }
}

function compare(bytes: Uint8Array, a: number, endOfA: number, b: number, endOfB: number): number {
  const length = Math.min(endOfA - a, endOfB - b)
  for (let index = 0; index < length; index += 1) {
    const difference = byteAt(bytes, a + index) - byteAt(bytes, b + index)
    if (difference !== 0) return difference
  }
  return endOfA - a - (endOfB - b)
}
