import { CHUNK_MAX_BYTES, CHUNK_MAX_EVENTS, type Chunk } from '../../pipeline/event.ts'
import type { DeadLetter } from '../../pipeline/unit.ts'
import type { ResponsePart } from './response.ts'

const MAX_ANSWERS = 100
const MAX_BYTES = 1024 * 1024

/** Answers to single questions on their way into one unit: a transaction for each would be more work than the question. */
export class ThreatAnswers {
  readonly #kind: string
  #chunks: Chunk[] = []
  #deadLetters: DeadLetter[] = []
  #fingerprints: Uint8Array[] = []
  #answers = 0
  #bytes = 0

  /** `kind`: what the answers are as events. */
  constructor(kind: string) {
    this.#kind = kind
  }

  get isFull(): boolean {
    return this.#answers >= MAX_ANSWERS || this.#bytes >= MAX_BYTES
  }

  get isEmpty(): boolean {
    return this.#answers === 0
  }

  /** `part`: the answer, or null where it brings no event. `keys`: what is then known as asked. */
  add(keys: readonly Uint8Array[], part: Pick<ResponsePart, 'chunks' | 'deadLetters' | 'fingerprints'> | null): void {
    this.#answers += 1
    this.#fingerprints.push(...keys)
    if (part === null) return
    this.#chunks.push(...part.chunks)
    this.#deadLetters.push(...part.deadLetters)
    this.#fingerprints.push(part.fingerprints)
    for (const { lines } of part.chunks) this.#bytes += lines.length
    for (const { event } of part.deadLetters) this.#bytes += event.length
  }

  take(): ResponsePart {
    const chunks = joined(this.#chunks)
    const fingerprints = Uint8Array.from(Buffer.concat(this.#fingerprints))
    const part = { array: this.#kind, chunks, deadLetters: this.#deadLetters, fingerprints, events: this.#chunks.length }
    this.#chunks = []
    this.#deadLetters = []
    this.#fingerprints = []
    this.#answers = 0
    this.#bytes = 0
    return part
  }
}

/** Chunks of one event each as few chunks. */
function joined(singles: readonly Chunk[]): Chunk[] {
  const groups: Chunk[][] = []
  let bytes = Infinity
  for (const single of singles) {
    const group = groups.at(-1)
    bytes += single.lines.length
    if (group !== undefined && bytes <= CHUNK_MAX_BYTES && group.length < CHUNK_MAX_EVENTS) group.push(single)
    else {
      groups.push([single])
      bytes = single.lines.length
    }
  }
  return groups.map((group) => ({
    lines: Uint8Array.from(Buffer.concat(group.map(({ lines }) => lines))),
    fingerprints: Uint8Array.from(Buffer.concat(group.map(({ fingerprints }) => fingerprints))),
  }))
}
