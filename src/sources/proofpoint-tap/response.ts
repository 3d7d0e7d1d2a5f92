import { isAscii } from 'node:buffer'
import { hash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { Window } from '../../pipeline/unit.ts'
import { excerpt, isWhiteSpace, plainView } from './bytes.ts'
import { MAX_ELEMENT_BYTES } from './carry.ts'
import { Carver, MAX_SLICE_BYTES } from './carver.ts'
import { PartBuilder, type ResponsePart, type ResponseTarget } from './chunks.ts'
import { ElementReader } from './element.ts'
import { Envelope } from './envelope.ts'
import { MalformedResponseError } from './malformed.ts'

export { MalformedResponseError } from './malformed.ts'
export type { ResponsePart, ResponseTarget } from './chunks.ts'

/** How much of a response may stand outside its arrays. */
const MAX_ENVELOPE_BYTES = 1024 * 1024

/** How much of the body's beginning a message may show, with one byte to tell that there was more. */
const HEAD_BYTES = 81
const LESS_THAN = 0x3c

export interface ResponseSummary {
  /** Elements of the expected arrays, valid or not. */
  readonly received: number
  /** Those among them that had been seen before. */
  readonly duplicates: number
  /** New events in which bytes that are not UTF-8 became U+FFFD. */
  readonly invalidUtf8: number
  /** Epoch milliseconds; null where the response names none that can be read. */
  readonly queryEndTime: number | null
  /** Length of the body. */
  readonly bytes: number
  /** The same counts for each array. */
  readonly arrays: ReadonlyMap<string, ArrayCounts>
  /** What is wrong with expected arrays that were not there; at least one was. */
  readonly problems: ReadonlyMap<string, string>
}

export interface ArrayCounts {
  readonly received: number
  readonly duplicates: number
  readonly invalidUtf8: number
}

export interface ReadResponseOptions {
  /** The arrays that are wanted, by name. */
  readonly arrays: ReadonlyMap<string, ResponseTarget>
  readonly window: Window
  /** Wall clock for `DeadLetter.at`. */
  readonly now: () => number
}

/** What is known of one array while its response is read. */
class ArrayReader {
  readonly builder: PartBuilder
  received = 0
  duplicates = 0
  invalidUtf8 = 0

  constructor(name: string, target: ResponseTarget) {
    this.builder = new PartBuilder(name, target)
  }
}

/**
 * Reads the body of a response. Yields a part whenever one is full, and the rest once the whole body has turned out valid; a part is never empty.
 * Whoever took a part and could not keep it owes new fingerprint tables; what was not yielded is taken out of them again.
 *
 * Throws MalformedResponseError where the body is not the promised response, and the body's own error where that fails.
 */
export async function* readResponse(body: Readable, options: ReadResponseOptions): AsyncGenerator<ResponsePart, ResponseSummary> {
  const reading = new Reading(options)
  try {
    for await (const chunk of body as AsyncIterable<unknown>) {
      const bytes = toBytes(chunk)
      for (let from = 0; from < bytes.length; from += MAX_SLICE_BYTES) {
        reading.give(bytes.subarray(from, from + MAX_SLICE_BYTES))
        for (let part = reading.next(); part !== null; part = reading.next()) yield part
      }
    }
    reading.end()
    for (const { builder } of reading.arrays.values()) {
      const part = builder.take()
      if (part !== null) yield part
    }
    return reading.summary()
  } finally {
    for (const { builder } of reading.arrays.values()) builder.abandon()
  }
}

/** One response on its way through carver, envelope, scanner and chunks; nothing here waits. */
class Reading {
  readonly arrays: ReadonlyMap<string, ArrayReader>
  readonly #carver = new Carver()
  readonly #envelope: Envelope
  readonly #element = new ElementReader()
  readonly #now: () => number
  #array: ArrayReader | null = null
  #problems: ReadonlyMap<string, string> = new Map()
  #sliceIsAscii = true
  #bytes = 0
  /** The body's first bytes that are not white space, for messages. */
  #head: Uint8Array = new Uint8Array(0)

  constructor({ arrays, window, now }: ReadResponseOptions) {
    this.arrays = new Map([...arrays].map(([name, target]) => [name, new ArrayReader(name, target)]))
    this.#envelope = new Envelope(arrays.keys())
    this.#now = now
    for (const { seen } of arrays.values()) seen.beginResponse(window)
  }

  /** Takes the next slice of the body; `next` is then owed until it returns null. */
  give(slice: Uint8Array<ArrayBuffer>): void {
    this.#bytes += slice.length
    this.#sliceIsAscii = isAscii(slice)
    if (this.#head.length < HEAD_BYTES) this.#head = Buffer.concat([this.#head, withoutLeadingSpace(slice, this.#head.length > 0)]).subarray(0, HEAD_BYTES)
    this.#carver.give(slice)
  }

  /** A part that has become full, or null at the slice's end. */
  next(): ResponsePart | null {
    const carver = this.#carver
    for (;;) {
      let part: ResponsePart | null = null
      const found = carver.next()
      if (found === 'slice-end') {
        this.#judge()
        return null
      }
      if (found === 'array') {
        this.#judge()
        this.#array = this.arrays.get(this.#envelope.array ?? '') ?? null
        carver.keep = this.#array !== null
      } else if (this.#array !== null) {
        part = found === 'object-start' ? this.#tryWithin(this.#array) : this.#take(this.#array)
      }
      if (part !== null) return part
    }
  }

  /** Throws where the body, which has ended, was not a whole response. */
  end(): void {
    if (this.#head.length === 0) throw new MalformedResponseError('the body is empty')
    this.#explain(() => {
      this.#problems = this.#envelope.end()
    })
    // Cannot be, as long as carver and parser read the envelope alike; if they ever do not, the response is not to be trusted.
    if (this.#envelope.elements !== this.#carver.elements) {
      throw new MalformedResponseError(`the response has ${this.#envelope.elements} elements, but ${this.#carver.elements} were cut out of it`)
    }
  }

  summary(): ResponseSummary {
    const counts = { received: 0, duplicates: 0, invalidUtf8: 0 }
    for (const array of this.arrays.values()) {
      counts.received += array.received
      counts.duplicates += array.duplicates
      counts.invalidUtf8 += array.invalidUtf8
    }
    const arrays = new Map([...this.arrays].map(([name, { received, duplicates, invalidUtf8 }]) => [name, { received, duplicates, invalidUtf8 }]))
    return { ...counts, queryEndTime: this.#envelope.queryEndTime, bytes: this.#bytes, arrays, problems: this.#problems }
  }

  /** Nearly every element is a valid object that lies whole in its slice: the scanner finds its end, and it is never carved. */
  #tryWithin(array: ArrayReader): ResponsePart | null {
    const { bytes, view, start } = this.#carver
    const end = this.#element.read(bytes, view, start, bytes.length, this.#sliceIsAscii)
    if (end < 0) return null
    this.#carver.skip(end)
    return this.#addEvent(array)
  }

  #take(array: ArrayReader): ResponsePart | null {
    const { bytes, view, start, end, size, oversize } = this.#carver
    if (oversize) {
      const reason = `larger than ${MAX_ELEMENT_BYTES / 1024 / 1024} MiB: ${size} bytes, of which the first ${end - start} are kept`
      return this.#addDeadLetter(array, this.#carver.digest(), reason)
    }
    // A valid object ends where its braces do, and there the carver has cut.
    if (this.#element.read(bytes, view, start, end, false) >= 0) return this.#addEvent(array)
    return this.#addDeadLetter(array, hash('sha256', bytes.subarray(start, end), 'binary'), `not a valid event: ${this.#element.problem}`)
  }

  #addEvent(array: ArrayReader): ResponsePart | null {
    const { bytes, view, start, end, wasRepaired } = this.#element
    const part = array.builder.hasRoomFor(end - start) ? null : array.builder.take()
    array.received += 1
    if (!array.builder.addEvent(this.#element.digest(), bytes, view, start, end)) array.duplicates += 1
    else if (wasRepaired) array.invalidUtf8 += 1
    return part
  }

  #addDeadLetter(array: ArrayReader, digest: string, reason: string): ResponsePart | null {
    const { bytes, start, end, size } = this.#carver
    const part = array.builder.hasRoomFor(end - start) ? null : array.builder.take()
    array.received += 1
    if (!array.builder.addDeadLetter(digest, bytes.subarray(start, end), size, reason, this.#now())) array.duplicates += 1
    return part
  }

  /** Gives the envelope what the carver passed on. */
  #judge(): void {
    const passed = this.#carver.takePassed()
    this.#explain(() => this.#envelope.write(passed))
    if (this.#carver.outsideBytes > MAX_ENVELOPE_BYTES) {
      throw new MalformedResponseError(`the response holds more than ${MAX_ENVELOPE_BYTES / 1024 / 1024} MiB outside its arrays; it begins with ${excerpt(this.#head)}`)
    }
  }

  #explain(judge: () => void): void {
    try {
      judge()
    } catch (error) {
      if (!(error instanceof MalformedResponseError)) throw error
      if (this.#head[0] === LESS_THAN) throw new MalformedResponseError(`the body is a web page or XML instead of JSON; it begins with ${excerpt(this.#head)}`)
      throw new MalformedResponseError(
        `${error.message}; seen in the first ${this.#bytes} bytes, behind ${this.#carver.elements} events; the body begins with ${excerpt(this.#head)}`,
      )
    }
  }
}

function toBytes(chunk: unknown): Uint8Array<ArrayBuffer> {
  if (chunk instanceof Uint8Array) return plainView(chunk)
  if (typeof chunk === 'string') return plainView(Buffer.from(chunk))
  throw new TypeError('the body of a response must be a stream of bytes')
}

function withoutLeadingSpace(slice: Uint8Array, hasBegun: boolean): Uint8Array {
  if (hasBegun) return slice.subarray(0, HEAD_BYTES)
  const first = slice.findIndex((byte) => !isWhiteSpace(byte))
  return first < 0 ? new Uint8Array(0) : slice.subarray(first, first + HEAD_BYTES)
}
