import { byteAt, CLOSE_BRACE, CLOSE_BRACKET, COMMA, copyBytes, dataView, intAt, OPEN_BRACE, OPEN_BRACKET } from './bytes.ts'
import { ENTRY, HEADER, OBJECT, type Outline, SORTED_ARRAY } from './outline.ts'

const INITIAL_BYTES = 64 * 1024

/**
 * Writes an event's canonical bytes from its outline: the same bytes, with the members of every object and the elements of the unordered arrays
 * in one fixed order. They are as long as the event itself, and live until the next one is written.
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
    const count = intAt(tape, node + 3)
    // Element k, with the bracket or comma before it, lies at [ends[k], ends[k + 1]) of the target.
    const ends = [start]
    let at = start
    let sorted = true
    for (let k = 0; k < count; k += 1) {
      const entry = node + HEADER + k * ENTRY
      target[at] = k === 0 ? OPEN_BRACKET : COMMA
      const child = intAt(tape, entry + 2)
      const end = child === 0 ? this.#copy(intAt(tape, entry), intAt(tape, entry + 1), at + 1) : this.#value(child, at + 1)
      sorted &&= k === 0 || compare(target, (ends[k - 1] ?? 0) + 1, at, at + 1, end) <= 0
      ends.push(end)
      at = end
    }
    if (!sorted) this.#sort(start, at, ends)
    target[at] = CLOSE_BRACKET
    return at + 1
  }

  /** Sorts the elements of the array whose bytes, but for its last bracket, lie at [start, end) of the target. */
  #sort(start: number, end: number, ends: readonly number[]): void {
    const unsorted = this.#target.slice(start, end)
    const firstOf = (k: number): number => (ends[k] ?? 0) + 1 - start
    const endOf = (k: number): number => (ends[k + 1] ?? 0) - start
    const order = Uint32Array.from({ length: ends.length - 1 }, (_, k) => k)
    order.sort((a, b) => compare(unsorted, firstOf(a), endOf(a), firstOf(b), endOf(b)))
    let at = start + 1
    for (const k of order) {
      this.#target.set(unsorted.subarray(firstOf(k), endOf(k)), at)
      at += endOf(k) - firstOf(k)
      this.#target[at] = COMMA
      at += 1
    }
  }

  #copy(from: number, to: number, at: number): number {
    return copyBytes(this.#bytes, this.#view, from, to, this.#target, this.#targetView, at)
  }

  #reserve(length: number): void {
    const size = length <= INITIAL_BYTES ? INITIAL_BYTES : length
    if (length <= this.#target.length && this.#target.length <= size * 16) return
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
