import type { Cursor } from './buffer.ts'
import type { Pull } from './event.ts'
import type { BatchStep } from './step-stream.ts'
import type { DeadLetter } from './unit.ts'

/** Where a replay stands, as kept so that it can go on after a kill. */
export interface SavedReplay {
  /** What was asked for, as text: a replay goes on only for the same. */
  readonly request: string
  /** The process that has it now. */
  readonly run: string
  /** How far each output is. */
  readonly cursors: Readonly<Record<string, Cursor>>
}

/** Times of pulls, half-open, epoch milliseconds; infinite where every pull may hold what is wanted. */
export interface PulledBetween {
  readonly from: number
  readonly to: number
}

export interface ReplayStepsOptions {
  readonly from: Cursor
  readonly to: Cursor
  readonly isWanted: (pull: Pull) => boolean
  /** Of one batch. */
  readonly maxEvents: number
  readonly signal: AbortSignal
}

/**
 * A buffer as a replay sees it: beside the collector that uses it, or without one. It touches no output's cursor and no group but its own. Whatever
 * reaches for the buffer throws RetryableError while it is away, FatalError where only a person can help.
 */
export interface ReplayStore {
  /** Before the first event that may be wanted, and behind the last one that was there at the opening. */
  readonly begin: Cursor
  readonly end: Cursor
  /** The earliest pull that is there, epoch milliseconds; null where there is no event. */
  readonly oldestPull: number | null
  /** The buffer once had events before that one. */
  readonly hasRemoved: boolean
  /** The retention has taken events that were still to be read. */
  readonly missed: boolean
  /**
   * Every wanted event between two cursors; never ends before `to`, however long a stretch without any is,
   * and its last step stands there. Two calls with the same cursors give the same
   * events, though maybe in other batches.
   */
  steps(options: ReplayStepsOptions): AsyncGenerator<BatchStep, void, undefined>
  /** How much of the way lies before the cursor, 0 to 1. */
  fraction(cursor: Cursor): number
  /** Keeps dead letters as live delivery does, with the same limit. */
  keep(output: string, letters: readonly DeadLetter[]): Promise<void>
  /** Null: there is no such replay, or it has come to its end. */
  load(id: string): Promise<SavedReplay | null>
  /** Durable once resolved. */
  save(id: string, saved: SavedReplay): Promise<void>
  remove(id: string): Promise<void>
  close(): Promise<void>
}
