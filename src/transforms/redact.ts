import { createHmac } from 'node:crypto'
import { countEvents, FINGERPRINT_BYTES, type Batch } from '../pipeline/event.ts'
import type { Transform } from '../pipeline/transform.ts'
import type { RedactConfig } from './config.ts'
import { linesOf } from './lines.ts'
import { pathTree, type PathNode } from './pointer.ts'
import { scalarAt } from './value.ts'
import { Walker, type Visitor } from './walk.ts'

const NOTHING = Buffer.alloc(0)
const MASK = Buffer.from('"***"')

/**
 * Removes, masks or hashes what the pointers lead to; all other bytes stay as they are. A mask or hash of an object or array is one of each value in
 * it, so that its shape stays, and null stays null. The hash of a value (a string without its escapes, a number as it is written) is HMAC-SHA-256 in
 * hexadecimal: the same value and key always give the same hash, also from one field to another.
 */
export function createRedact({ fields, action, key }: RedactConfig): Transform {
  const root = pathTree(fields, () => action !== 'remove')
  const replace = replacement(action, key)
  return (batch, reject) => {
    const bytes = Buffer.from(batch.lines.buffer, batch.lines.byteOffset, batch.lines.byteLength)
    const edits = new Edits(bytes, replace)
    const walker = new Walker(bytes, edits)
    const rejected = new Set<number>()
    for (const line of linesOf(batch, bytes, reject)) {
      const before = edits.count
      line.read(() => walker.walk(root, line.start, line.end))
      if (!line.isRejected) continue
      edits.forget(before)
      edits.cut(line.start, line.end + 1)
      rejected.add(line.index)
    }
    if (edits.count === 0) return batch
    return rejected.size === countEvents(batch) ? null : { ...batch, lines: edits.apply(), fingerprints: without(batch, rejected) }
  }
}

/** What a value becomes; null: it is taken out. */
type Replace = ((bytes: Buffer, start: number, end: number) => Buffer) | null

function replacement(action: RedactConfig['action'], key: string | null): Replace {
  switch (action) {
    case 'remove':
      return null
    case 'mask':
      return () => MASK
    case 'hash': {
      if (key === null) throw new TypeError('a hash without a key')
      return (bytes, start, end) => Buffer.from(`"${createHmac('sha256', key).update(scalarAt(bytes, start, end).text).digest('hex')}"`)
    }
  }
}

class Edits implements Visitor {
  readonly #bytes: Buffer
  readonly #replace: Replace
  /** In order, one behind the other. */
  readonly #edits: { readonly start: number; readonly end: number; readonly text: Buffer }[] = []

  constructor(bytes: Buffer, replace: Replace) {
    this.#bytes = bytes
    this.#replace = replace
  }

  get count(): number {
    return this.#edits.length
  }

  found(_node: PathNode, start: number, end: number): boolean {
    if (this.#replace === null) return true
    // Two pointers may lead to the same value.
    if (end < 0 || this.#edits.at(-1)?.start === start || this.#isNull(start, end)) return false
    this.#edits.push({ start, end, text: this.#replace(this.#bytes, start, end) })
    return false
  }

  cut(start: number, end: number): void {
    this.#edits.push({ start, end, text: NOTHING })
  }

  forget(count: number): void {
    this.#edits.length = count
  }

  apply(): Uint8Array {
    const out = new Uint8Array(this.#edits.reduce((size, { start, end, text }) => size + text.length - (end - start), this.#bytes.length))
    let from = 0
    let at = 0
    const put = (bytes: Uint8Array): void => {
      out.set(bytes, at)
      at += bytes.length
    }
    for (const { start, end, text } of this.#edits) {
      put(this.#bytes.subarray(from, start))
      put(text)
      from = end
    }
    put(this.#bytes.subarray(from))
    return out
  }

  #isNull(start: number, end: number): boolean {
    return end - start === 4 && this.#bytes.toString('latin1', start, end) === 'null'
  }
}

function without(batch: Batch, rejected: ReadonlySet<number>): Uint8Array {
  const kept = Array.from({ length: countEvents(batch) }, (_, index) => index).filter((index) => !rejected.has(index))
  const fingerprints = new Uint8Array(kept.length * FINGERPRINT_BYTES)
  for (const [position, index] of kept.entries())
    fingerprints.set(batch.fingerprints.subarray(index * FINGERPRINT_BYTES, (index + 1) * FINGERPRINT_BYTES), position * FINGERPRINT_BYTES)
  return fingerprints
}
