import { createHash, type Hash } from 'node:crypto'
import { dataView } from './bytes.ts'

/** An element above this size is not kept: only its head, its size and its hash. */
export const MAX_ELEMENT_BYTES = 8 * 1024 * 1024
export const HEAD_BYTES = 64 * 1024

const FIRST_BYTES = 16 * 1024
/** Above this the memory of one large element is not kept for the next. */
const LARGE_BYTES = 1024 * 1024

/** Joins the pieces of an element that is spread over several slices. */
export class Carry {
  /** The element, or the head of an oversize one, is the first `length` bytes. */
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(FIRST_BYTES)
  view: DataView<ArrayBuffer> = dataView(this.bytes)
  length = 0
  /** Length of the whole element. */
  size = 0
  #hash: Hash | null = null

  get isOversize(): boolean {
    return this.#hash !== null
  }

  begin(): void {
    this.length = 0
    this.size = 0
    this.#hash = null
  }

  add(piece: Uint8Array): void {
    this.size += piece.length
    if (this.#hash !== null) {
      this.#hash.update(piece)
      return
    }
    if (this.size > MAX_ELEMENT_BYTES) {
      this.#hash = createHash('sha256').update(this.bytes.subarray(0, this.length)).update(piece)
      this.#replace(this.bytes.slice(0, HEAD_BYTES))
      this.length = HEAD_BYTES
      return
    }
    if (this.length === 0 && this.bytes.length > LARGE_BYTES) this.#replace(new Uint8Array(FIRST_BYTES))
    if (this.size > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.size, this.bytes.length * 2))
      larger.set(this.bytes.subarray(0, this.length))
      this.#replace(larger)
    }
    this.bytes.set(piece, this.length)
    this.length += piece.length
  }

  /** SHA-256 of an oversize element, 'binary'; may be asked once. */
  digest(): string {
    if (this.#hash === null) throw new Error('only an oversize element is hashed while it is carried')
    return this.#hash.digest('binary')
  }

  #replace(bytes: Uint8Array<ArrayBuffer>): void {
    this.bytes = bytes
    this.view = dataView(bytes)
  }
}
