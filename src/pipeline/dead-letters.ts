import { FatalError, RetryableError } from './errors.ts'
import type { DeadLetter } from './unit.ts'

/** So many are kept of each output, and of the source. A shipment begun below it may add all of its own, or a large one could never end. */
export const DEAD_LETTERS_MAX = 100_000

/** A dead letter as the buffer keeps it. */
export interface KeptDeadLetter extends DeadLetter {
  /** Ascending in the order of their keeping; what it means is known only to the buffer that made it. */
  readonly id: number
}

/** The dead letters of a buffer, also beside a collector that runs on it. Throws RetryableError while the buffer cannot be reached. */
export interface DeadLetterStore {
  /** Those that were there at the call, oldest first, behind the given one. Memory holds one page of them. */
  read(after?: number): AsyncIterable<KeptDeadLetter>
  /** Removes some for good and keeps others in their place. A kill in between keeps one too many and loses none. */
  replace(removed: readonly number[], added: readonly DeadLetter[]): Promise<void>
  /** Makes this process the only one that sends letters again; a kill leaves nothing behind. Throws RetriesTakenError where another one does. */
  claimRetries(): Promise<RetryClaim>
  close(): Promise<void>
}

export interface RetryClaim {
  /** Aborts when another process may send them again: give up what is in flight. */
  readonly lost: AbortSignal
  /** Safe at any time, also twice. */
  release(): Promise<void>
}

/** Two at a time would send the same letters. */
export class RetriesTakenError extends FatalError {
  constructor() {
    super('another "dead-letters retry" is under way on this buffer; wait until it has ended, or end it first. Nothing was sent', { code: 'RetryUnderWay' })
  }
}

export const NO_DEAD_LETTERS: DeadLetterStore = {
  async *read() {
    // nothing was ever kept
  },
  replace: async () => undefined,
  claimRetries: async () => ({ lost: new AbortController().signal, release: async () => undefined }),
  close: async () => undefined,
}

/** The service of what is no event: what it was is not known. No service has this name. */
export const UNKNOWN_SERVICE = 'unknown'

export interface KeptAmount {
  readonly letters: number
  readonly bytes: number
}

/** Throws RetryableError once so many are kept that no more may be added. `output`: null for the source's own. */
export function assertRoomForDeadLetters(output: string | null, { letters, bytes }: KeptAmount, maxBytes: number): void {
  if (letters < DEAD_LETTERS_MAX && bytes < maxBytes) return
  const who = output === null ? 'the source has refused so many events' : `output ${output} has refused so many events`
  const rest = output === null ? 'Fetching waits' : 'It waits'
  throw new RetryableError(
    `${who} that no more dead letters are kept (${letters} of ${DEAD_LETTERS_MAX}, ${megabytes(bytes)} of ${megabytes(maxBytes)} MB). ` +
      `${rest} and goes on by itself: see why with "tap-collector dead-letters list", mend it, then "dead-letters retry" or "dead-letters drop"`,
    { code: 'DeadLettersFull' },
  )
}

function megabytes(bytes: number): string {
  return (bytes / (1024 * 1024)).toFixed(1)
}
