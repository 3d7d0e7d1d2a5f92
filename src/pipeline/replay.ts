import type { BatchStream, Cursor, DeliveryBuffer, ReadRange } from './buffer.ts'
import { countEvents, eventsOf, FINGERPRINT_BYTES, type Batch, type Pull } from './event.ts'
import type { Pace } from './pace.ts'
import type { ReplayPositions } from './replay-positions.ts'
import type { ReplayStore } from './replay-store.ts'
import { StepStream, type BatchStep } from './step-stream.ts'
import type { DeadLetter } from './unit.ts'

/** What is sent again: events of these pulls and, where times are those of the events themselves, with `isInTime`. */
export interface ReplaySelection {
  readonly isWanted: (pull: Pull) => boolean
  /** Null: every event of a wanted pull. */
  readonly isInTime: ((event: Uint8Array, pull: Pull) => boolean) | null
}

interface ReplayBufferOptions {
  readonly store: ReplayStore
  readonly selection: ReplaySelection
  readonly positions: ReplayPositions
  /** Null: as fast as the output takes them. */
  readonly pace: Pace | null
  readonly maxBatchEvents: number
}

const NEWLINE = 0x0a

/** What `deliver` reads of a replay to one output: the selected events alone, at most at the pace. */
export class ReplayBuffer implements DeliveryBuffer {
  readonly #options: ReplayBufferOptions

  constructor(options: ReplayBufferOptions) {
    this.#options = options
  }

  read(_output: string, range: ReadRange): BatchStream {
    return new StepStream(range.from, this.#steps(range), range.signal)
  }

  /** A replay waits for nothing: what was there at its beginning is all there is. */
  async waitBeyond(): Promise<void> {
    await Promise.resolve()
  }

  commit(output: string, cursor: Cursor, deadLetters: readonly DeadLetter[]): Promise<void> {
    return this.#options.positions.commit(output, cursor, deadLetters)
  }

  async *#steps({ from, to, maxEvents, maxBytes, signal }: ReadRange): AsyncGenerator<BatchStep, void, undefined> {
    const { store, selection, pace, maxBatchEvents } = this.#options
    let events = 0
    let bytes = 0
    for await (const step of store.steps({ from, to: to ?? store.end, isWanted: selection.isWanted, maxEvents: maxBatchEvents, signal })) {
      const batch = step.batch === null ? null : selected(step.batch, selection)
      if (batch !== null) {
        const isFull = to === undefined && events > 0 && (events + countEvents(batch) > maxEvents || bytes + batch.lines.length > maxBytes)
        if (isFull) return
        events += countEvents(batch)
        bytes += batch.lines.length
        await pace?.take(countEvents(batch), signal)
      }
      yield { batch, cursor: step.cursor }
    }
  }
}

/** The events of a batch whose own time is asked for; null where there are none. */
function selected(batch: Batch, { isInTime }: ReplaySelection): Batch | null {
  if (isInTime === null) return batch
  const events = [...eventsOf(batch)]
  const kept = events.flatMap((event, index) => (isInTime(event, batch) ? [index] : []))
  if (kept.length === events.length) return batch
  if (kept.length === 0) return null
  const lines = new Uint8Array(kept.reduce((sum, index) => sum + (events[index]?.length ?? 0) + 1, 0))
  const fingerprints = new Uint8Array(kept.length * FINGERPRINT_BYTES)
  let at = 0
  for (const [place, index] of kept.entries()) {
    const event = events[index] ?? new Uint8Array()
    lines.set(event, at)
    at += event.length
    lines[at] = NEWLINE
    at += 1
    fingerprints.set(batch.fingerprints.subarray(index * FINGERPRINT_BYTES, (index + 1) * FINGERPRINT_BYTES), place * FINGERPRINT_BYTES)
  }
  return { ...batch, lines, fingerprints }
}
