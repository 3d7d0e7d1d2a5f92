import { BACKSLASH, byteAt, intAt, QUOTE } from './bytes.ts'

/** Kinds of outlined values. Anything else is copied as it stands. */
export const OBJECT = 1
/** An array, some of whose elements must be reordered inside: those alone are listed. */
export const PATCHED_ARRAY = 2
/** An array whose elements are sorted themselves: all are listed. */
export const SORTED_ARRAY = 3

/** Numbers on the tape before the entries of a value: kind, start, end, number of entries. */
export const HEADER = 4
/** Numbers for each entry: start, end, index of its own outline on the tape, or 0. A member starts at its key's quote. */
export const ENTRY = 3

/** Numbers for each pending entry: those of ENTRY and the order of the key. */
const PENDING = 4
/** Up to here the order of an object's members is remembered by their number: events of a kind look alike. */
const REMEMBERED_MEMBERS = 64
const INITIAL_NUMBERS = 4096

/**
 * What the scanner remembers of an element: where the members of its objects are, in their canonical order. Values that are in that order as
 * they came have no outline (0), so that the common rest of an event is copied in one go. The outline of a whole event is the last one closed.
 */
export class Outline {
  /** Outlines of closed values, children before their parents; index 0 is never used. */
  tape = new Int32Array(INITIAL_NUMBERS)
  #tapeEnd = 1
  /** Entries of the values that are still open. */
  #pending = new Int32Array(INITIAL_NUMBERS)
  #pendingEnd = 0
  readonly #orders: Uint8Array[] = []

  constructor() {
    for (let count = 0; count <= REMEMBERED_MEMBERS; count += 1) this.#orders.push(Uint8Array.from({ length: count }, (_, index) => index))
  }

  reset(): void {
    this.#tapeEnd = 1
    this.#pendingEnd = 0
    // What one enormous event needed is not kept for the small ones.
    if (this.tape.length > INITIAL_NUMBERS * 64) this.tape = new Int32Array(INITIAL_NUMBERS)
    if (this.#pending.length > INITIAL_NUMBERS * 64) this.#pending = new Int32Array(INITIAL_NUMBERS)
  }

  /** Begins a value; what it returns is owed to `closeObject` or `closeArray`. */
  open(): number {
    return this.#pendingEnd
  }

  /** A member of the object, or an element of the array, that is open innermost. */
  add(start: number, end: number, child: number, order: number): void {
    const at = this.#pendingEnd
    if (at + PENDING > this.#pending.length) this.#pending = grown(this.#pending, at + PENDING)
    const pending = this.#pending
    pending[at] = start
    pending[at + 1] = end
    pending[at + 2] = child
    pending[at + 3] = order
    this.#pendingEnd = at + PENDING
  }

  /** Ends an object over [start, end); returns the index of its outline, or 0 where it is canonical as it stands. */
  closeObject(view: DataView, base: number, start: number, end: number): number {
    const count = (this.#pendingEnd - base) / PENDING
    const order = count <= REMEMBERED_MEMBERS ? this.#rememberedOrder(view, base, count) : this.#sortedOrder(view, base, count)
    let plain = true
    for (let k = 0; k < count && plain; k += 1) plain = order[k] === k && intAt(this.#pending, base + k * PENDING + 2) === 0
    if (plain) {
      this.#pendingEnd = base
      return 0
    }
    return this.#close(OBJECT, base, start, end, count, order)
  }

  closeArray(kind: typeof PATCHED_ARRAY | typeof SORTED_ARRAY, base: number, start: number, end: number): number {
    const count = (this.#pendingEnd - base) / PENDING
    if (kind === PATCHED_ARRAY ? count === 0 : count < 2 && (count === 0 || intAt(this.#pending, base + 2) === 0)) {
      this.#pendingEnd = base
      return 0
    }
    return this.#close(kind, base, start, end, count, null)
  }

  #close(kind: number, base: number, start: number, end: number, count: number, order: Uint8Array | Int32Array | null): number {
    const node = this.#tapeEnd
    const needed = node + HEADER + count * ENTRY
    if (needed > this.tape.length) this.tape = grown(this.tape, needed)
    const tape = this.tape
    const pending = this.#pending
    tape[node] = kind
    tape[node + 1] = start
    tape[node + 2] = end
    tape[node + 3] = count
    let to = node + HEADER
    for (let k = 0; k < count; k += 1) {
      const from = base + (order === null ? k : (order[k] ?? 0)) * PENDING
      tape[to] = intAt(pending, from)
      tape[to + 1] = intAt(pending, from + 1)
      tape[to + 2] = intAt(pending, from + 2)
      to += ENTRY
    }
    this.#tapeEnd = needed
    this.#pendingEnd = base
    return node
  }

  /**
   * Members in the order that fitted the last object with as many members, if it fits this one, too: proven by comparing neighbours, which is
   * all that a sorted order needs. Otherwise sorted anew, starting from that order.
   */
  #rememberedOrder(view: DataView, base: number, count: number): Uint8Array {
    const order = this.#orders[count] ?? new Uint8Array(count)
    for (let k = 1; k < count; k += 1) {
      const member = byteAt(order, k)
      if (this.#compare(view, base, byteAt(order, k - 1), member) < 0) continue
      let hole = k
      while (hole > 0 && this.#compare(view, base, byteAt(order, hole - 1), member) > 0) {
        order[hole] = byteAt(order, hole - 1)
        hole -= 1
      }
      order[hole] = member
    }
    return order
  }

  #sortedOrder(view: DataView, base: number, count: number): Int32Array {
    return Int32Array.from({ length: count }, (_, index) => index).sort((a, b) => this.#compare(view, base, a, b))
  }

  /** Never 0 for two members: equal keys keep the order they came in. */
  #compare(view: DataView, base: number, a: number, b: number): number {
    const pending = this.#pending
    const orderA = intAt(pending, base + a * PENDING + 3)
    const orderB = intAt(pending, base + b * PENDING + 3)
    if (orderA !== orderB) return orderA < orderB ? -1 : 1
    return compareKeys(view, intAt(pending, base + a * PENDING), intAt(pending, base + b * PENDING)) || a - b
  }
}

/**
 * The first four bytes of a key and its closing quote as a number that sorts like them. `start` is the index of its opening quote, `end` the
 * one behind its closing quote; at least three more bytes of the object must follow.
 */
export function keyOrder(view: DataView, start: number, end: number): number {
  const word = view.getInt32(start + 1, false)
  const length = end - start - 1
  return (length >= 4 ? word : word & (-1 << (32 - 8 * length))) ^ 0x80000000
}

/** Compares the bytes of two keys up to and with their closing quotes. */
function compareKeys(view: DataView, a: number, b: number): number {
  for (let offset = 1; ; offset += 1) {
    const byte = view.getUint8(a + offset)
    const difference = byte - view.getUint8(b + offset)
    if (difference !== 0) return difference
    if (byte === QUOTE) return 0
    if (byte === BACKSLASH) {
      offset += 1
      const escaped = view.getUint8(a + offset) - view.getUint8(b + offset)
      if (escaped !== 0) return escaped
    }
  }
}

function grown(numbers: Int32Array<ArrayBuffer>, needed: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(needed, numbers.length * 2))
  larger.set(numbers)
  return larger
}
