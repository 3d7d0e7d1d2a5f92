import { hash } from 'node:crypto'
import { parseDevoLine } from './devo-line.ts'

export interface TallyOptions {
  /** Keep every line as text; for tests of a few thousand lines. */
  readonly keepLines?: boolean
  /** Digest of all lines, whatever their order; some 2 µs a line. */
  readonly digest?: boolean
  /** Parse every line as `parseDevoLine` does and note what is wrong. */
  readonly strict?: boolean
  /** Gets each line without its LF (a view, to be copied by whoever keeps it) and the number of its connection. Must not throw. */
  readonly onLine?: (line: Buffer, connection: number) => void
}

export interface TagCount {
  events: number
  /** Line ends included. */
  bytes: number
}

/** How many violations are kept in words; all are counted. */
const KEPT_VIOLATIONS = 100
const SPACE = 0x20
/** Behind `<14>YYYY-MM-DD HH:MM:SS.mmm `. */
const HOST_OFFSET = 28

/** What a receiver has received: lines that were read whole. Memory does not grow with their number, but with `keepLines`. */
export class DevoTally {
  events = 0
  /** Line ends included. */
  bytes = 0
  violationCount = 0
  readonly tags = new Map<string, TagCount>()
  readonly lines: string[] = []
  readonly violations: string[] = []
  readonly #options: TallyOptions
  readonly #digest = new LinesDigest()
  /** `HOST TAG: ` of the line before, and its counter: most lines have the same. */
  #lastHead: Buffer = Buffer.alloc(0)
  #lastCount: TagCount | null = null

  constructor(options: TallyOptions) {
    this.#options = options
  }

  /** Independent of the order of the lines; compare with `digestLines`. Empty without the option `digest`. */
  get digest(): string {
    return this.#options.digest === true ? this.#digest.hex() : ''
  }

  add(line: Buffer, connection = 0): void {
    this.events += 1
    this.bytes += line.length + 1
    const count = this.#countOf(line)
    count.events += 1
    count.bytes += line.length + 1
    const { keepLines, digest, strict, onLine } = this.#options
    if (keepLines === true) this.lines.push(line.toString())
    if (digest === true) this.#digest.add(line)
    if (strict === true) {
      const parsed = parseDevoLine(line)
      if (typeof parsed === 'string') {
        this.violationCount += 1
        if (this.violations.length < KEPT_VIOLATIONS) this.violations.push(`line ${this.events}: ${parsed}: ${line.toString('utf8', 0, 200)}`)
      }
    }
    onLine?.(line, connection)
  }

  forget(): void {
    this.events = this.bytes = this.violationCount = 0
    this.tags.clear()
    this.lines.length = this.violations.length = 0
    this.#digest.clear()
    this.#lastCount = null
  }

  #countOf(line: Buffer): TagCount {
    const head = this.#lastHead
    const headEnd = HOST_OFFSET + head.length
    if (this.#lastCount !== null && line.length >= headEnd && line.compare(head, 0, head.length, HOST_OFFSET, headEnd) === 0) return this.#lastCount
    const hostEnd = line.indexOf(SPACE, HOST_OFFSET)
    const tagEnd = hostEnd === -1 ? -1 : line.indexOf(': ', hostEnd)
    // A line of another form has no tag; it counts under the empty one.
    const tag = tagEnd === -1 ? '' : line.toString('latin1', hostEnd + 1, tagEnd)
    let count = this.tags.get(tag)
    if (count === undefined) this.tags.set(tag, (count = { events: 0, bytes: 0 }))
    if (tagEnd !== -1) {
      this.#lastHead = Buffer.from(line.subarray(HOST_OFFSET, tagEnd + 2))
      this.#lastCount = count
    }
    return count
  }
}

/** The digest that a receiver has after exactly these lines (without their LF), in whatever order. */
export function digestLines(lines: Iterable<string | Uint8Array>): string {
  const digest = new LinesDigest()
  for (const line of lines) digest.add(line)
  return digest.hex()
}

/** The sum of all lines' SHA-256, word by word: independent of their order, but not of how often each came. */
class LinesDigest {
  readonly #sum = new Uint32Array(8)

  add(line: string | Uint8Array): void {
    const one = hash('sha256', line, 'buffer')
    for (let word = 0; word < 8; word++) this.#sum[word] = (this.#sum[word] ?? 0) + one.readUInt32LE(word * 4)
  }

  hex(): string {
    return Array.from(this.#sum, (word) => word.toString(16).padStart(8, '0')).join('')
  }

  clear(): void {
    this.#sum.fill(0)
  }
}
