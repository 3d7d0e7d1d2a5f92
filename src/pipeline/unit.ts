import type { Cursor } from './buffer.ts'
import type { Chunk, Pull } from './event.ts'

/** Half-open [from, to), epoch milliseconds of the API's clock. */
export interface Window {
  readonly from: number
  readonly to: number
}

/** A piece that the API has failed to serve for an hour while it otherwise answers; it is tried again every hour. */
export interface Hole extends Window {
  /** When it became a hole and when it was tried last, epoch milliseconds. */
  readonly since: number
  readonly triedAt: number
  readonly reason: string
}

/** A time that is lost for good: the API no longer serves it. */
export interface Gap extends Window {
  readonly recordedAt: number
  readonly reason: string
}

/** Fingerprints (16 bytes each) that a window showed first. They are kept until the mark has passed the window's end. */
export interface SeenFingerprints {
  readonly window: Window
  readonly fingerprints: Uint8Array
}

/** Where a service stands, as saved with a unit. */
export interface Position {
  /** The mark: everything created before it was read at a moment when it could no longer change. Epoch ms of the API's clock. */
  readonly settled: number
  /** Wall clock of the last answer, epoch milliseconds. */
  readonly readAt: number
  /** All holes that are open now; replaces the saved ones. */
  readonly holes: readonly Hole[]
  /** Gaps to add to the saved ones. */
  readonly gaps: readonly Gap[]
  /** Fingerprints to add: those of this unit's events and dead letters. Null where the unit has none. */
  readonly seen: SeenFingerprints | null
  /** Windows whose saved fingerprints are no longer needed (every saved row with exactly this window goes). */
  readonly forgotten: readonly Window[]
}

/** What a buffer gives back of a service after a restart. */
export interface ServiceState {
  readonly settled: number
  /** 0 before the first answer. */
  readonly readAt: number
  readonly holes: readonly Hole[]
  readonly seen: readonly SeenFingerprints[]
  /** The `start_time_in_utc_format` that the state began with, as epoch milliseconds; null where there was none. */
  readonly startTime: number | null
}

/** An event that an output, or the source itself, refused for good. */
export interface DeadLetter {
  readonly inputId: string
  readonly service: string
  readonly pulledAt: number
  readonly environment: string | null
  /** That brought the event, where that is known. */
  readonly window?: Window
  /** The output that refused it, or null: the source did, so that it reached no output. */
  readonly output: string | null
  readonly reason: string
  /** Epoch milliseconds. */
  readonly at: number
  /** The event's bytes; of one above the size limit only the head. */
  readonly event: Uint8Array
  /** Length of the whole event in bytes. */
  readonly size: number
  readonly fingerprint: Uint8Array
}

/** Whose position a unit moves. */
export function readerOf({ reader, service }: Pick<Unit, 'reader' | 'service'>): string {
  return reader ?? service
}

export const UNIT_MAX_EVENTS = 10_000
export const UNIT_MAX_BYTES = 4 * 1024 * 1024

/**
 * What is appended at once: events of one window, and the position that holds once they are in the buffer.
 * A unit may hold no event: then it moves the position alone. Whoever appends a unit gives its bytes away (they are transferred).
 */
export interface Unit extends Pull {
  /** The service that has read it, and whose position it moves, where its events are of another kind than that; left out: `service`. */
  readonly reader?: string
  /** Of a service that follows the buffer's events, and then always: how far it has worked through them once the unit is appended. */
  readonly readTo?: Cursor
  readonly window: Window
  readonly chunks: readonly Chunk[]
  readonly deadLetters: readonly DeadLetter[]
  readonly position: Position
}
