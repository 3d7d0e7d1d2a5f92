import type { Readable } from 'node:stream'
import { RetryableError } from './errors.ts'
import type { QuotaLog } from './source.ts'
import type { DeadLetter, Gap, Hole, ServiceState, Unit } from './unit.ts'

/** How far an output is. Opaque: only the buffer that made it understands it. */
export type Cursor = string

export interface ReadRange {
  readonly from: Cursor
  /** A retry has the `to` of its first attempt, or it would overlap the shipment behind it. */
  readonly to?: Cursor
  readonly maxEvents: number
  readonly maxBytes: number
  readonly signal: AbortSignal
}

/** Object-mode Readable of `Batch`. It ends at a limit, or when nothing more is there now; it never waits to fill. */
export interface BatchStream extends Readable {
  /** Behind the last batch read; valid once the stream has ended. */
  readonly cursor: Cursor
  /** Events read so far. */
  readonly eventsRead: number
  /**
   * Reads no further: the stream ends behind what it has read, and its cursor is valid as usual. For a graceful stop; never where `to` is
   * given, for the shipment behind begins there.
   */
  finish(): void
}

/** The buffer holds `max_size_in_mb` of undelivered events, or the disk is full: fetching waits until there is room again. */
export class BufferFullError extends RetryableError {
  override readonly name = 'BufferFullError'
}

export interface OutputStart {
  readonly name: string
  /** For an output that is added later; the outputs of a first start all begin with the first event. */
  readonly startFrom: 'now' | 'oldest'
  /** A service reads it and appends what it makes of the events: the last of the room is left to that, or a full buffer would stay full. */
  readonly feedsService?: boolean
}

/** That this process runs the inputs. With several processes on one buffer all others stand by. */
export interface InputOwnership {
  /** Aborts when another process takes over, or may: nothing more is appended. */
  readonly lost: AbortSignal
  /** Safe at any time, also twice. */
  release(): Promise<void>
}

/** The part of an output's events that this process delivers; with several processes each has one. */
export interface OutputShare {
  /** Behind what is delivered. */
  readonly cursor: Cursor
  /** Events that the buffer no longer had when the output came to them; told once. */
  readonly missedEvents: number
  /** Aborts when the shares are dealt anew: begin nothing, prove and commit what is in flight, release, and take a share again. */
  readonly ending: AbortSignal
  /** Aborts when the share belongs to another: give up what is in flight. */
  readonly lost: AbortSignal
  /** Safe at any time, also twice. */
  release(): Promise<void>
}

/**
 * The durable middle. A buffer owes:
 * - `append` makes a unit's events and its position durable together or not at all. It takes the unit's bytes (they are detached).
 *   After any error the outcome is unknown: the caller loads the service again and goes on from what that says.
 * - `read` gives the events in the order of their appending to every output at its own pace, and again after a failure.
 * - `commit` moves an output's cursor and stores its dead letters in one transaction. It throws RetryableError once an output has so many that
 *   they would fill the disk (dead-letters.ts); so does `append` for those of the source.
 * - events that an open output has not committed stay; committed ones stay for the retention and then go in small steps.
 */
export interface EventBuffer extends QuotaLog {
  /** Null: this service has never run here. */
  loadService(inputId: string, service: string): Promise<ServiceState | null>
  /** Begins a service anew at `settled`: its fingerprints and holes are forgotten, gaps and events stay. */
  startService(inputId: string, service: string, settled: number, startTime: number | null): Promise<void>
  /** Throws BufferFullError while an append would not fit; `ofFeed`: one by a service that lets events go by it (`Unit.readTo`). */
  assertRoom(ofFeed?: boolean): Promise<void>
  append(unit: Unit): Promise<void>
  /**
   * Waits, standing by, until this process owns the inputs; calls `onStandby` when another one has been found to. Throws the signal's
   * reason, RetryableError while it cannot be known.
   */
  ownInputs(signal: AbortSignal, onStandby?: () => void): Promise<InputOwnership>
  /** Announces the outputs that are on now; only they hold events back. */
  openOutputs(outputs: readonly OutputStart[]): Promise<void>
  /**
   * Waits for this process's share of an open output's events, which may be empty; the one before must have been released. Throws the
   * signal's reason, RetryableError while no share can be had.
   */
  takeShare(output: string, signal: AbortSignal): Promise<OutputShare>
  read(output: string, range: ReadRange): BatchStream
  /** Resolves as soon as an event lies beyond the cursor. */
  waitBeyond(output: string, cursor: Cursor, signal: AbortSignal): Promise<void>
  commit(output: string, cursor: Cursor, deadLetters: readonly DeadLetter[]): Promise<void>
  snapshot(): Promise<BufferSnapshot>
  close(): Promise<void>
}

/** What `deliver` needs of a buffer: all that an output reads, or a part of it that is sent once more. */
export type DeliveryBuffer = Pick<EventBuffer, 'read' | 'waitBeyond' | 'commit'>

/** What `status` and `/readyz` show. */
export interface BufferSnapshot {
  readonly services: readonly {
    readonly inputId: string
    readonly service: string
    readonly settled: number
    readonly readAt: number
    readonly startTime: number | null
    readonly holes: readonly Hole[]
    readonly gaps: readonly Gap[]
  }[]
  readonly outputs: readonly {
    readonly name: string
    /** False: the output is not open in the collector that used this buffer last. */
    readonly open: boolean
    /** Events not yet delivered; an upper bound where the output takes a subset. */
    readonly backlogEvents: number
    /** Wall clock of the last committed shipment, epoch milliseconds; 0: none yet. */
    readonly provenAt: number
    readonly deadLetters: number
    /** Events that the buffer no longer had when the output came to them, in total since it was opened first. */
    readonly missedEvents: number
  }[]
  /** Events that the source itself refused. */
  readonly sourceDeadLetters: number
  readonly pools: readonly { readonly pool: string; readonly minutes: readonly (readonly [minute: number, requests: number])[] }[]
  readonly sizeInBytes: number
  readonly maxSizeInBytes: number
}
