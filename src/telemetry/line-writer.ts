import { writeSync } from 'node:fs'

/** How long a full pipe is waited for before its lines are dropped. */
const PATIENCE_MS = 100
const NAP_MS = 5

/**
 * Writes lines to a file descriptor at once, so that every line survives `process.exit`. A reader that has stopped reading (a pipe answers EAGAIN when it
 * is full) must not stop the collector: after a short wait lines are dropped, and their number is told when the reader is back.
 */
export class LineWriter {
  readonly #fd: number
  /** What is left of a line of which a part was written: it comes first, or the next line would begin in its middle. */
  #rest: Buffer = Buffer.alloc(0)
  #dropped = 0

  constructor(fd: number) {
    this.#fd = fd
  }

  /** `tellDropped` makes the line that says how many are missing. */
  write(line: string, tellDropped: (lines: number) => string): void {
    // Whoever has let us wait once is not waited for again until something has gone.
    const patienceMs = this.#dropped > 0 ? 0 : PATIENCE_MS
    if (!this.#flush(patienceMs)) {
      this.#dropped += 1
      return
    }
    const missing = this.#dropped > 0 ? tellDropped(this.#dropped) : ''
    this.#rest = Buffer.from(missing + line)
    const length = this.#rest.length
    this.#flush(patienceMs)
    if (this.#rest.length < length) {
      this.#dropped = 0
      return
    }
    this.#rest = Buffer.alloc(0)
    this.#dropped += 1
  }

  /** True: nothing is left to write. */
  #flush(patienceMs: number): boolean {
    let waitedMs = 0
    while (this.#rest.length > 0) {
      try {
        this.#rest = this.#rest.subarray(writeSync(this.#fd, this.#rest))
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? error.code : undefined
        // A pipe that is gone, a disk that is full: the log is lost, the events are not.
        if (code !== 'EAGAIN') this.#rest = Buffer.alloc(0)
        else if (waitedMs >= patienceMs) return false
        else {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, NAP_MS)
          waitedMs += NAP_MS
        }
      }
    }
    return true
  }
}
