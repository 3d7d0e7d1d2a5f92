import { addAbortSignal, Readable } from 'node:stream'
import type { BatchStream, Cursor } from './buffer.ts'
import { countEvents, type Batch } from './event.ts'

/** A batch and where reading goes on behind it; without a batch only the cursor moves. */
export interface BatchStep {
  readonly batch: Batch | null
  readonly cursor: Cursor
}

/** A BatchStream of what a generator gives; its end is the stream's. The generator owns its limits. */
export class StepStream extends Readable implements BatchStream {
  readonly #steps: AsyncGenerator<BatchStep, void, undefined>
  #cursor: Cursor
  #eventsRead = 0
  #finished = false

  constructor(from: Cursor, steps: AsyncGenerator<BatchStep, void, undefined>, signal: AbortSignal) {
    super({ objectMode: true, highWaterMark: 1 })
    this.#cursor = from
    this.#steps = steps
    addAbortSignal(signal, this)
  }

  get cursor(): Cursor {
    return this.#cursor
  }

  get eventsRead(): number {
    return this.#eventsRead
  }

  finish(): void {
    this.#finished = true
  }

  override _read(): void {
    void this.#handOut()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // What it still waits for may take long, and nobody wants it any more.
    this.#steps.return().catch(() => undefined)
    callback(error)
  }

  /** Never rejects: a failure destroys the stream. */
  async #handOut(): Promise<void> {
    try {
      for (;;) {
        const step = this.#finished ? null : await this.#steps.next()
        if (this.destroyed) return
        if (step === null || step.done === true || this.#finished) {
          this.push(null)
          return
        }
        this.#cursor = step.value.cursor
        if (step.value.batch === null) continue
        this.#eventsRead += countEvents(step.value.batch)
        this.push(step.value.batch)
        return
      }
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }
}
