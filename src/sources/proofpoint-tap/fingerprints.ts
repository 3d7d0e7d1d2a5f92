import { FINGERPRINT_BYTES } from '../../pipeline/event.ts'
import type { SeenFingerprints, Window } from '../../pipeline/unit.ts'

/** Numbers for each slot: four of the fingerprint, the window's index + 1 (0: the slot is free), the response that showed it last. */
const SLOT = 6
const WINDOW = 4
const STAMP = 5
const SMALLEST_CAPACITY = 1024
const FULLEST = 0.75
/** Below this the table is made smaller. */
const EMPTIEST = 0.25
const GROWTH = 1.5

/** Odd, so that the fingerprints of 2^32 equal events all differ. */
const ORDINAL_STEPS = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f] as const

interface KnownWindow {
  readonly window: Window
  readonly key: string
  readonly index: number
  size: number
}

/**
 * The fingerprints that a service has seen, with the window that showed each first: 24 bytes a slot, 32 to 48 for each event. Open addressing with
 * linear probing in one array; a digest's bits are as good as random, so that its first 32 are the place.
 *
 * The fingerprint of an event is its digest, shifted by its ordinal among the equal events of the same response: byte-identical events exist, and
 * all of them arrive. The ordinals seen in a response are always 0 to n - 1, each with the response's stamp, so that n is found by bisection.
 */
export class FingerprintTable {
  #capacity = SMALLEST_CAPACITY
  #slots = new Int32Array(SMALLEST_CAPACITY * SLOT)
  #size = 0
  /** Number of the response that is being read. */
  #stamp = 0
  #current: KnownWindow | null = null
  readonly #byKey = new Map<string, KnownWindow>()
  readonly #byIndex: (KnownWindow | undefined)[] = []
  readonly #freeIndexes: number[] = []

  constructor(saved: readonly SeenFingerprints[] = []) {
    const count = saved.reduce((sum, { fingerprints }) => sum + fingerprints.length / FINGERPRINT_BYTES, 0)
    if (count > SMALLEST_CAPACITY * FULLEST) this.#resize(Math.ceil(count / FULLEST))
    for (const { window, fingerprints } of saved) {
      const known = this.#know(window)
      const view = new DataView(fingerprints.buffer, fingerprints.byteOffset, fingerprints.byteLength)
      for (let at = 0; at < fingerprints.length; at += FINGERPRINT_BYTES) {
        const [a, b, c, d] = [view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12)]
        const slot = this.#find(a, b, c, d)
        if (this.#slots[slot + WINDOW] === 0) this.#insert(slot, a, b, c, d, known)
      }
      this.#release(known)
    }
  }

  get size(): number {
    return this.#size
  }

  /** Bytes that the table itself holds. */
  get byteLength(): number {
    return this.#slots.byteLength
  }

  /** Windows that still hold fingerprints. */
  windows(): readonly Window[] {
    return [...this.#byKey.values()].filter(({ size }) => size > 0).map(({ window }) => window)
  }

  /** Begins a response for this window: equal events are counted from 0 again. */
  beginResponse(window: Window): void {
    this.#stamp = (this.#stamp + 1) | 0
    const previous = this.#current
    this.#current = this.#know(window)
    if (previous !== null && previous !== this.#current) this.#release(previous)
  }

  /**
   * True: not seen before, and remembered from now on with the response's window; the 16 bytes of the fingerprint are then in `out` at `at`.
   * `digest` is a hash of the event's canonical bytes as a 'latin1' string of 16 characters or more.
   */
  add(digest: string, out: Uint8Array, at: number): boolean {
    const window = this.#current
    if (window === null) throw new Error('a fingerprint was added before any response began')
    let a = word(digest, 0)
    let b = word(digest, 4)
    let c = word(digest, 8)
    let d = word(digest, 12)
    let slot = this.#find(a, b, c, d)
    if (this.#isStamped(slot)) {
      const n = this.#equalEvents(a, b, c, d)
      a = step(a, n, 0)
      b = step(b, n, 1)
      c = step(c, n, 2)
      d = step(d, n, 3)
      slot = this.#find(a, b, c, d)
    }
    if (this.#slots[slot + WINDOW] !== 0) {
      this.#slots[slot + STAMP] = this.#stamp
      return false
    }
    this.#insert(slot, a, b, c, d, window)
    writeWord(out, at, a)
    writeWord(out, at + 4, b)
    writeWord(out, at + 8, c)
    writeWord(out, at + 12, d)
    return true
  }

  /** Forgets single fingerprints: those of events that were added, but handed to nobody. */
  remove(fingerprints: Uint8Array): void {
    const view = new DataView(fingerprints.buffer, fingerprints.byteOffset, fingerprints.byteLength)
    for (let at = 0; at < fingerprints.length; at += FINGERPRINT_BYTES) {
      const slot = this.#find(view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12))
      if (this.#slots[slot + WINDOW] !== 0) this.#delete(slot)
    }
  }

  /** Forgets all fingerprints that these windows showed first. Windows are the same where their ends are. */
  forget(windows: readonly Window[]): void {
    const forgotten = new Uint8Array(this.#byIndex.length + 1)
    const known = windows.map((window) => this.#byKey.get(keyOf(window))).filter((entry) => entry !== undefined)
    for (const { index } of known) forgotten[index + 1] = 1
    if (known.some(({ size }) => size > 0)) this.#sweep(forgotten)
    for (const entry of known) this.#release(entry)
    if (this.#size < this.#capacity * EMPTIEST && this.#capacity > SMALLEST_CAPACITY) {
      this.#resize(Math.max(SMALLEST_CAPACITY, Math.ceil(this.#size / ((FULLEST + EMPTIEST) / 2))))
    }
  }

  /** One round over all slots, begun behind a free one: closing a gap never moves a fingerprint across it, so that none is passed over. */
  #sweep(forgotten: Uint8Array): void {
    let first = 0
    while (this.#slots[first + WINDOW] !== 0) first += SLOT
    const end = this.#slots.length
    for (let round = SLOT; round < end; round += SLOT) {
      const slot = first + round < end ? first + round : first + round - end
      while (forgotten[this.#slots[slot + WINDOW] ?? 0] === 1) this.#delete(slot)
    }
  }

  /** How many of this event the response has shown: the first ordinal without its stamp. */
  #equalEvents(a: number, b: number, c: number, d: number): number {
    const isShown = (n: number): boolean => this.#isStamped(this.#find(step(a, n, 0), step(b, n, 1), step(c, n, 2), step(d, n, 3)))
    let shown = 0
    let unknown = 1
    while (isShown(unknown)) {
      shown = unknown
      unknown *= 2
    }
    while (unknown - shown > 1) {
      const middle = (shown + unknown) >>> 1
      if (isShown(middle)) shown = middle
      else unknown = middle
    }
    return unknown
  }

  #isStamped(slot: number): boolean {
    return this.#slots[slot + WINDOW] !== 0 && this.#slots[slot + STAMP] === this.#stamp
  }

  /** Index of the fingerprint's slot, or of the free one where it belongs. */
  #find(a: number, b: number, c: number, d: number): number {
    const slots = this.#slots
    let slot = homeOf(a, this.#capacity)
    while (slots[slot + WINDOW] !== 0) {
      if (slots[slot] === a && slots[slot + 1] === b && slots[slot + 2] === c && slots[slot + 3] === d) return slot
      slot += SLOT
      if (slot === slots.length) slot = 0
    }
    return slot
  }

  #insert(slot: number, a: number, b: number, c: number, d: number, window: KnownWindow): void {
    const slots = this.#slots
    slots[slot] = a
    slots[slot + 1] = b
    slots[slot + 2] = c
    slots[slot + 3] = d
    slots[slot + WINDOW] = window.index + 1
    slots[slot + STAMP] = this.#stamp
    window.size += 1
    this.#size += 1
    if (this.#size > this.#capacity * FULLEST) this.#resize(Math.ceil(this.#capacity * GROWTH))
  }

  /** Frees a slot and closes the gap: whatever behind it could stand there moves up. */
  #delete(slot: number): void {
    const slots = this.#slots
    const window = this.#byIndex[(slots[slot + WINDOW] ?? 0) - 1]
    if (window !== undefined) window.size -= 1
    this.#size -= 1
    let gap = slot
    let next = slot
    for (;;) {
      next += SLOT
      if (next === slots.length) next = 0
      if (slots[next + WINDOW] === 0) break
      const home = homeOf(slots[next] ?? 0, this.#capacity)
      // It may move up unless its home lies behind the gap, cyclically in (gap, next].
      const homeIsBehind = gap < next ? home > gap && home <= next : home > gap || home <= next
      if (homeIsBehind) continue
      slots.copyWithin(gap, next, next + SLOT)
      gap = next
    }
    slots[gap + WINDOW] = 0
  }

  #resize(capacity: number): void {
    const old = this.#slots
    this.#capacity = capacity
    this.#slots = new Int32Array(capacity * SLOT)
    const slots = this.#slots
    for (let from = 0; from < old.length; from += SLOT) {
      if (old[from + WINDOW] === 0) continue
      let slot = homeOf(old[from] ?? 0, capacity)
      while (slots[slot + WINDOW] !== 0) {
        slot += SLOT
        if (slot === slots.length) slot = 0
      }
      for (let offset = 0; offset < SLOT; offset += 1) slots[slot + offset] = old[from + offset] ?? 0
    }
  }

  #know(window: Window): KnownWindow {
    const key = keyOf(window)
    const known = this.#byKey.get(key)
    if (known !== undefined) return known
    const index = this.#freeIndexes.pop() ?? this.#byIndex.length
    const entry = { window: { from: window.from, to: window.to }, key, index, size: 0 }
    this.#byKey.set(key, entry)
    this.#byIndex[index] = entry
    return entry
  }

  /** Gives back the index of a window that holds nothing and is not being read. */
  #release(entry: KnownWindow): void {
    if (entry.size > 0 || entry === this.#current || !this.#byKey.delete(entry.key)) return
    this.#byIndex[entry.index] = undefined
    this.#freeIndexes.push(entry.index)
  }
}

function keyOf({ from, to }: Window): string {
  return `${from}:${to}`
}

function homeOf(first: number, capacity: number): number {
  return Math.floor((first >>> 0) * (capacity / 0x1_0000_0000)) * SLOT
}

function word(digest: string, at: number): number {
  return (digest.charCodeAt(at) << 24) | (digest.charCodeAt(at + 1) << 16) | (digest.charCodeAt(at + 2) << 8) | digest.charCodeAt(at + 3)
}

function writeWord(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
}

function step(value: number, ordinal: number, place: 0 | 1 | 2 | 3): number {
  return (value + Math.imul(ordinal, ORDINAL_STEPS[place])) | 0
}
