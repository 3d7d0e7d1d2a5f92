import { CHUNK_MAX_BYTES, CHUNK_MAX_EVENTS, FINGERPRINT_BYTES, type Chunk, type Pull } from '../../pipeline/event.ts'
import { UNIT_MAX_BYTES, UNIT_MAX_EVENTS, type DeadLetter } from '../../pipeline/unit.ts'
import { copyBytes, dataView, NEWLINE } from './bytes.ts'
import type { FingerprintTable } from './fingerprints.ts'

/** One array's new events since the last part. */
export interface ResponsePart {
  /** Name of the response's array. */
  readonly array: string
  readonly chunks: readonly Chunk[]
  readonly deadLetters: readonly DeadLetter[]
  /** Of all events and dead letters of this part, 16 bytes each. */
  readonly fingerprints: Uint8Array
  /** Events in the chunks. */
  readonly events: number
}

/** Where the events of one array go. */
export interface ResponseTarget {
  readonly pull: Pull
  readonly seen: FingerprintTable
}

/** Packs the new events of one array into chunks, and the chunks into parts that fit into a unit. */
export class PartBuilder {
  readonly #array: string
  readonly #target: ResponseTarget
  /** The lines of the open chunk; full chunks are copied out, each into memory of exactly its size. */
  readonly #lines = new Uint8Array(CHUNK_MAX_BYTES)
  readonly #linesView = dataView(this.#lines)
  #linesEnd = 0
  /** Fingerprints of the part's events; those of its dead letters are with them. */
  readonly #fingerprints = new Uint8Array(UNIT_MAX_EVENTS * FINGERPRINT_BYTES)
  #events = 0
  /** Events in the closed chunks. */
  #chunked = 0
  #bytes = 0
  #chunks: Chunk[] = []
  #deadLetters: DeadLetter[] = []

  constructor(array: string, target: ResponseTarget) {
    this.#array = array
    this.#target = target
  }

  /** False: take the part first. A single event that is larger than a unit fits into an empty one. */
  hasRoomFor(bytes: number): boolean {
    const count = this.#events + this.#deadLetters.length
    return count === 0 || (count < UNIT_MAX_EVENTS && this.#bytes + bytes + 1 <= UNIT_MAX_BYTES)
  }

  /** Adds the event [start, end) unless it was seen before; returns whether it was new. */
  addEvent(digest: string, bytes: Uint8Array, view: DataView, start: number, end: number): boolean {
    if (!this.#target.seen.add(digest, this.#fingerprints, this.#events * FINGERPRINT_BYTES)) return false
    const length = end - start + 1
    if (this.#linesEnd + length > CHUNK_MAX_BYTES || this.#events - this.#chunked === CHUNK_MAX_EVENTS) this.#closeChunk()
    this.#events += 1
    this.#bytes += length
    if (length > CHUNK_MAX_BYTES) {
      const line = new Uint8Array(length)
      line.set(bytes.subarray(start, end))
      line[length - 1] = NEWLINE
      this.#addChunk(line)
      return true
    }
    const lineEnd = copyBytes(bytes, view, start, end, this.#lines, this.#linesView, this.#linesEnd)
    this.#lines[lineEnd] = NEWLINE
    this.#linesEnd = lineEnd + 1
    return true
  }

  /** Adds a dead letter unless it was seen before; returns whether it was new. `event` is copied. */
  addDeadLetter(digest: string, event: Uint8Array, size: number, reason: string, at: number): boolean {
    const fingerprint = new Uint8Array(FINGERPRINT_BYTES)
    if (!this.#target.seen.add(digest, fingerprint, 0)) return false
    const { inputId, service, pulledAt, environment } = this.#target.pull
    this.#deadLetters.push({ inputId, service, pulledAt, environment, output: null, reason, at, event: event.slice(), size, fingerprint })
    this.#bytes += event.length
    return true
  }

  /** What was added since the last part; null where that is nothing. */
  take(): ResponsePart | null {
    if (this.#events === 0 && this.#deadLetters.length === 0) return null
    this.#closeChunk()
    const part = {
      array: this.#array,
      chunks: this.#chunks,
      deadLetters: this.#deadLetters,
      fingerprints: this.#allFingerprints(),
      events: this.#events,
    }
    this.#reset()
    return part
  }

  /** Gives up what was not taken: it counts as never seen, so that the next response brings it again. */
  abandon(): void {
    this.#target.seen.remove(this.#allFingerprints())
    this.#reset()
  }

  #reset(): void {
    this.#chunks = []
    this.#deadLetters = []
    this.#events = 0
    this.#chunked = 0
    this.#bytes = 0
    this.#linesEnd = 0
  }

  #closeChunk(): void {
    if (this.#events === this.#chunked) return
    this.#addChunk(this.#lines.slice(0, this.#linesEnd))
    this.#linesEnd = 0
  }

  #addChunk(lines: Uint8Array): void {
    this.#chunks.push({ lines, fingerprints: this.#fingerprints.slice(this.#chunked * FINGERPRINT_BYTES, this.#events * FINGERPRINT_BYTES) })
    this.#chunked = this.#events
  }

  #allFingerprints(): Uint8Array {
    const ofEvents = this.#events * FINGERPRINT_BYTES
    const all = new Uint8Array(ofEvents + this.#deadLetters.length * FINGERPRINT_BYTES)
    all.set(this.#fingerprints.subarray(0, ofEvents))
    this.#deadLetters.forEach(({ fingerprint }, index) => all.set(fingerprint, ofEvents + index * FINGERPRINT_BYTES))
    return all
  }
}
