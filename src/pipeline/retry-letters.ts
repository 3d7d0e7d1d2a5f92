import type { BatchStream, Cursor, DeliveryBuffer, ReadRange } from './buffer.ts'
import { UNKNOWN_SERVICE, type DeadLetterStore, type KeptDeadLetter } from './dead-letters.ts'
import { FINGERPRINT_BYTES, type Batch } from './event.ts'
import { StepStream, type BatchStep } from './step-stream.ts'
import type { DeadLetter } from './unit.ts'

const NEWLINE = 0x0a
const OPEN = 0x7b
const CLOSE = 0x7d

/** Why a letter cannot be sent again, or null where it can: what an output has refused went out as one JSON object in one line. */
export function whyNoRetry({ output, service, event, size, fingerprint }: DeadLetter): string | null {
  if (service === UNKNOWN_SERVICE) return 'it is what stood in the place of an event, and what it is cannot be known'
  if (output === null) return 'the source refused it: it is no event that an output could take'
  if (event.length !== size) return `only the first ${event.length} of its ${size} bytes were kept`
  const isLine = event[0] === OPEN && event.at(-1) === CLOSE && !event.includes(NEWLINE) && fingerprint.length === FINGERPRINT_BYTES
  return isLine ? null : 'it is not one JSON object in one line'
}

/**
 * Dead letters of one output as what `deliver` reads, sent in the order of their ids. A commit removes those that were sent; what was refused once more
 * is kept anew, with the new reason.
 */
export class LettersToRetry implements DeliveryBuffer {
  readonly #store: DeadLetterStore
  /** Ascending. A cursor is the id of the last one that was sent. */
  readonly #ids: readonly number[]
  readonly #wanted: ReadonlySet<number>
  #committed: number
  /** Taken by the output, or left out by its transforms. */
  sent = 0
  refusedAgain = 0

  constructor(store: DeadLetterStore, ids: readonly number[]) {
    this.#store = store
    this.#ids = ids
    this.#wanted = new Set(ids)
    this.#committed = Number(this.start)
  }

  get start(): Cursor {
    return String((this.#ids[0] ?? 0) - 1)
  }

  read(_output: string, range: ReadRange): BatchStream {
    return new StepStream(range.from, this.#steps(range), range.signal)
  }

  async waitBeyond(): Promise<void> {
    await Promise.resolve()
  }

  async commit(_output: string, cursor: Cursor, refused: readonly DeadLetter[]): Promise<void> {
    const end = Number(cursor)
    const done = this.#ids.filter((id) => id > this.#committed && id <= end)
    await this.#store.replace(done, refused)
    this.#committed = Math.max(this.#committed, end)
    this.sent += done.length - refused.length
    this.refusedAgain += refused.length
  }

  async *#steps({ from, to, maxEvents, maxBytes }: ReadRange): AsyncGenerator<BatchStep, void, undefined> {
    const last = Math.min(this.#ids.at(-1) ?? 0, to === undefined ? Infinity : Number(to))
    if (Number(from) >= last) return
    let events = 0
    let bytes = 0
    for await (const letter of this.#store.read(Number(from))) {
      if (letter.id > last) return
      if (!this.#wanted.has(letter.id)) continue
      const isFull = to === undefined && events > 0 && (events >= maxEvents || bytes + letter.size > maxBytes)
      if (isFull) return
      events += 1
      bytes += letter.size
      yield { batch: batchOf(letter), cursor: String(letter.id) }
    }
  }
}

function batchOf({ inputId, service, pulledAt, environment, window, event, fingerprint }: KeptDeadLetter): Batch {
  const lines = new Uint8Array(event.length + 1)
  lines.set(event)
  lines[event.length] = NEWLINE
  return { inputId, service, pulledAt, environment, ...(window !== undefined && { window }), lines, fingerprints: new Uint8Array(fingerprint) }
}
