import type { Batch } from '../pipeline/event.ts'
import type { Reject } from '../pipeline/transform.ts'
import { NotJsonError } from './walk.ts'

const NEWLINE = 0x0a

/** One event of a batch, by its place in the bytes. */
export class Line {
  isRejected = false
  readonly index: number
  readonly start: number
  /** At its line end. */
  readonly end: number
  readonly #reject: (reason: string) => void

  constructor(index: number, start: number, end: number, reject: (reason: string) => void) {
    this.index = index
    this.start = start
    this.end = end
    this.#reject = reject
  }

  /** What cannot be read must not go out, for nobody knows what is in it; nor may it hold up all that comes behind it. */
  read(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!(error instanceof NotJsonError) && !(error instanceof SyntaxError)) throw error
      this.isRejected = true
      this.#reject('it is not one JSON object in one line, so that no transform can read it')
    }
  }
}

/** The events of a batch; those that cannot be read are rejected. */
export function* linesOf(batch: Batch, bytes: Buffer, reject: Reject): Generator<Line, void, undefined> {
  let start = 0
  for (let index = 0; start < bytes.length; index += 1) {
    const end = bytes.indexOf(NEWLINE, start)
    if (end === -1) throw new Error('a batch whose last line has no end')
    yield new Line(index, start, end, (reason) => reject(batch, index, reason))
    start = end + 1
  }
}
