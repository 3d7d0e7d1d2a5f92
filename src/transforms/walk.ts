import type { PathNode } from './pointer.ts'

export interface Visitor {
  /**
   * A value that pointers lead to. `end` is behind it, or -1 where it is an object or array, whose end is not known yet.
   * True: it is to be taken out, and is not looked into.
   */
  found(node: PathNode, start: number, end: number): boolean
  /** What goes with a value that is taken out: its key and one comma. Calls come in the order of the bytes. */
  cut(start: number, end: number): void
}

/** The bytes are no JSON object in one line. */
export class NotJsonError extends Error {
  override readonly name = 'NotJsonError'
}

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const SPACE = 0x20
/** As deep as the source takes events, with room for others; deeper ones would come to the end of the stack. */
const MAX_DEPTH = 500
const NOWHERE: readonly PathNode[] = []

/** Goes through events of one buffer and tells a visitor of every value that pointers lead to; what they do not lead to is passed over. */
export class Walker {
  readonly #bytes: Buffer
  readonly #visitor: Visitor
  #at = 0
  #limit = 0
  /** The string passed last has a backslash in it. */
  #hasEscape = false

  constructor(bytes: Buffer, visitor: Visitor) {
    this.#bytes = bytes
    this.#visitor = visitor
  }

  /** The event from `start` to `end`. Throws NotJsonError; what was found until then is not to be used. */
  walk(root: PathNode, start: number, end: number): void {
    this.#at = start
    this.#limit = end
    this.#space()
    if (this.#byte() !== OPEN_BRACE) this.#fail()
    this.#object([root], 1)
    this.#space()
    if (this.#at !== end) this.#fail()
  }

  /** True where the value is to be taken out. */
  #value(active: readonly PathNode[], depth: number): boolean {
    const start = this.#at
    const byte = this.#byte()
    const isObject = byte === OPEN_BRACE
    if (!isObject && byte !== OPEN_BRACKET) {
      this.#scalar(byte)
      return this.#found(active, start, this.#at)
    }
    if (depth > MAX_DEPTH) this.#fail()
    const isOut = this.#found(active, start, -1)
    const inside = isOut ? NOWHERE : active
    if (isObject) this.#object(inside, depth + 1)
    else this.#array(inside, depth + 1)
    return isOut
  }

  #found(active: readonly PathNode[], start: number, end: number): boolean {
    let isOut = false
    for (const node of active) if (node.targets.length > 0 && this.#visitor.found(node, start, end)) isOut = true
    return isOut
  }

  #object(active: readonly PathNode[], depth: number): void {
    this.#at += 1
    this.#space()
    if (this.#byte() === CLOSE_BRACE) {
      this.#at += 1
      return
    }
    const cutter = new Cutter(this.#visitor)
    for (;;) {
      const start = this.#at
      cutter.begin(start)
      if (this.#byte() !== QUOTE) this.#fail()
      this.#string()
      const next = active.length === 0 ? NOWHERE : this.#members(active, start + 1, this.#at - 1)
      this.#space()
      if (this.#byte() !== COLON) this.#fail()
      this.#at += 1
      this.#space()
      cutter.end(this.#value(next, depth), this.#at)
      if (!this.#goesOn(CLOSE_BRACE)) break
    }
    cutter.close()
  }

  #array(active: readonly PathNode[], depth: number): void {
    this.#at += 1
    this.#space()
    if (this.#byte() === CLOSE_BRACKET) {
      this.#at += 1
      return
    }
    const cutter = new Cutter(this.#visitor)
    for (let index = 0; ; index += 1) {
      cutter.begin(this.#at)
      const next = active.length === 0 ? NOWHERE : elements(active, index)
      cutter.end(this.#value(next, depth), this.#at)
      if (!this.#goesOn(CLOSE_BRACKET)) break
    }
    cutter.close()
  }

  /** Behind a value: true at the next one, false behind the end of what holds it. */
  #goesOn(closing: number): boolean {
    this.#space()
    const byte = this.#byte()
    if (byte !== COMMA && byte !== closing) this.#fail()
    this.#at += 1
    if (byte === closing) return false
    this.#space()
    return true
  }

  #members(active: readonly PathNode[], keyStart: number, keyEnd: number): readonly PathNode[] {
    let next: PathNode[] | null = null
    const name = this.#hasEscape ? this.#decoded(keyStart - 1, keyEnd + 1) : null
    for (const node of active) {
      for (const step of node.named) {
        const isIt = name === null ? this.#isKey(step.bytes, keyStart, keyEnd) : name === step.name
        if (isIt) (next ??= []).push(step.next)
      }
      if (node.each !== null) (next ??= []).push(node.each)
      if (node.below !== null) (next ??= []).push(node.below)
    }
    return next ?? NOWHERE
  }

  #isKey(name: Buffer, start: number, end: number): boolean {
    if (name.length !== end - start) return false
    for (let index = 0; index < name.length; index += 1) if (name[index] !== this.#bytes[start + index]) return false
    return true
  }

  #decoded(start: number, end: number): string {
    try {
      return String(JSON.parse(this.#bytes.toString('utf8', start, end)))
    } catch {
      return this.#fail()
    }
  }

  #scalar(first: number): void {
    if (first === QUOTE) {
      this.#string()
      return
    }
    const start = this.#at
    // A number, true, false or null: up to what may stand behind a value.
    for (let byte = first; byte > SPACE && byte !== COMMA && byte !== CLOSE_BRACE && byte !== CLOSE_BRACKET; byte = this.#byte()) this.#at += 1
    if (this.#at === start) this.#fail()
  }

  #string(): void {
    this.#hasEscape = false
    for (let at = this.#at + 1; at < this.#limit; at += 1) {
      const byte = this.#bytes[at]
      if (byte === QUOTE) {
        this.#at = at + 1
        return
      }
      if (byte === BACKSLASH) {
        this.#hasEscape = true
        at += 1
      }
    }
    this.#fail()
  }

  #space(): void {
    while (this.#at < this.#limit && (this.#bytes[this.#at] ?? 0) <= SPACE) this.#at += 1
  }

  /** The byte at hand, 0 at the end. */
  #byte(): number {
    return this.#at < this.#limit ? (this.#bytes[this.#at] ?? 0) : 0
  }

  #fail(): never {
    throw new NotJsonError('it is not one JSON object in one line')
  }
}

/** Decides which comma goes with a value that is taken out: the one before it, or the one behind it where nothing before it stays. */
class Cutter {
  readonly #visitor: Visitor
  #hasKept = false
  #start = 0
  #lastEnd = 0
  /** Where what is taken out before the first value that stays begins; -1: nowhere. */
  #open = -1

  constructor(visitor: Visitor) {
    this.#visitor = visitor
  }

  begin(start: number): void {
    if (this.#open >= 0) this.#visitor.cut(this.#open, start)
    this.#open = -1
    this.#start = start
  }

  end(isOut: boolean, end: number): void {
    if (!isOut) this.#hasKept = true
    else if (this.#hasKept) this.#visitor.cut(this.#lastEnd, end)
    else this.#open = this.#start
    this.#lastEnd = end
  }

  close(): void {
    if (this.#open >= 0) this.#visitor.cut(this.#open, this.#lastEnd)
  }
}

function elements(active: readonly PathNode[], index: number): readonly PathNode[] {
  let next: PathNode[] | null = null
  for (const node of active) {
    for (const step of node.named) if (step.index === index) (next ??= []).push(step.next)
    if (node.each !== null) (next ??= []).push(node.each)
    if (node.below !== null) (next ??= []).push(node.below)
  }
  return next ?? NOWHERE
}
