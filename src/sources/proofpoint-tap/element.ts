import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'
import { BACKSLASH, byteAt, dataView, isWhiteSpace, QUOTE } from './bytes.ts'
import { CanonicalWriter } from './canonical.ts'
import { MAX_ELEMENT_BYTES } from './carry.ts'
import { Scanner } from './scanner.ts'

/** Reads one element: checks it, makes its line, and hashes its canonical bytes. What it found lives until the next one is read. */
export class ElementReader {
  /** The event's line without its end is [start, end) of `bytes`: those that were read, unless something had to be changed. */
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  view: DataView<ArrayBuffer> = dataView(this.bytes)
  start = 0
  end = 0
  /** True where bytes that are not UTF-8 became U+FFFD. */
  wasRepaired = false

  readonly #scanner = new Scanner()
  readonly #canonical = new CanonicalWriter()

  #problem = ''

  /** What was wrong with the element read last. */
  get problem(): string {
    return this.#problem
  }

  /** SHA-256 of the canonical bytes, 'binary'; may be asked once, for it uses the outline up. */
  digest(): string {
    const { outline, root } = this.#scanner
    return hash('sha256', this.#canonical.write(this.bytes, this.view, this.start, this.end, outline, root), 'binary')
  }

  /** Index behind the object that begins at `start`, or -1: it is not valid, or it does not end before `limit`. `ascii`: no byte is above 0x7f. */
  read(bytes: Uint8Array<ArrayBuffer>, view: DataView<ArrayBuffer>, start: number, limit: number, ascii: boolean): number {
    const end = this.#scanner.scan(bytes, view, start, limit)
    if (end < 0) {
      this.#problem = this.#scanner.problem
      return -1
    }
    this.wasRepaired = !ascii && !isUtf8(bytes.subarray(start, end))
    if (this.wasRepaired || this.#scanner.hasWhiteSpace) {
      this.#normalise(bytes.subarray(start, end))
      if (this.end <= MAX_ELEMENT_BYTES) return end
      this.#problem = `larger than ${MAX_ELEMENT_BYTES / 1024 / 1024} MiB once the bytes that are not UTF-8 are replaced`
      return -1
    }
    this.bytes = bytes
    this.view = view
    this.start = start
    this.end = end
    return end
  }

  #normalise(event: Uint8Array): void {
    const text = this.wasRepaired ? Buffer.from(Buffer.from(event.buffer, event.byteOffset, event.byteLength).toString('utf8')) : event
    this.bytes = withoutWhiteSpace(text)
    this.view = dataView(this.bytes)
    this.start = 0
    this.end = this.bytes.length
    // Valid as it was, it is so again: this is for the outline of the bytes as they are now.
    this.#scanner.scan(this.bytes, this.view, 0, this.end)
  }
}

/** A copy of valid JSON without the white space between its tokens. */
function withoutWhiteSpace(json: Uint8Array): Uint8Array<ArrayBuffer> {
  const compact = new Uint8Array(json.length)
  let end = 0
  let inString = false
  for (let at = 0; at < json.length; at += 1) {
    const byte = byteAt(json, at)
    if (inString && byte === BACKSLASH) {
      compact[end] = byte
      end += 1
      at += 1
      compact[end] = byteAt(json, at)
      end += 1
      continue
    }
    if (byte === QUOTE) inString = !inString
    else if (!inString && isWhiteSpace(byte)) continue
    compact[end] = byte
    end += 1
  }
  return compact.subarray(0, end)
}
