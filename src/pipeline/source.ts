import type { Readable } from 'node:stream'
import type { EventFeed } from './feed.ts'
import type { Hole, ServiceState } from './unit.ts'

/**
 * Reads one remote API. A source owes:
 * - `units` is an object-mode Readable of `Unit`, in order, that continues from exactly the given state; a unit never holds bytes
 *   that were not read whole. Back-pressure reaches the socket: nothing is read ahead beyond one unit.
 * - it never ends by itself, but with `once`: then it ends when all that is due now has been read.
 * - it waits out what may go well later (see Conditions) and fails only with what it cannot mend: with `once` also when login is refused.
 * - after an error or an abort it may be asked for units again, from the state that the buffer then holds.
 */
export interface Source {
  /** The input's name in the configuration; conditions and logs use it. */
  readonly name: string
  readonly inputId: string
  readonly services: readonly SourceService[]
  units(service: string, state: ServiceState, options: UnitsOptions): Readable
  /** The API's clock as far as it is known, epoch milliseconds; never ahead of it. */
  serverTime(): number
  /** Proves that the API can be reached and accepts us. Costs one counted request for each pool in use. */
  check(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

export interface UnitsOptions {
  readonly signal: AbortSignal
  readonly once: boolean
  /** Need not be read again; left out: nothing. */
  readonly elsewhere?: readonly ReadElsewhere[]
  /** For a service with `follows`, and for no other. */
  readonly events?: EventFeed
}

/** Another service has read all events of these kinds that were created before its mark, but for its holes. */
export interface ReadElsewhere {
  readonly kinds: readonly string[]
  readonly settled: number
  readonly holes: readonly Hole[]
}

export interface SourceService {
  readonly name: string
  /** What its events may be (`Unit.service`); left out: its name. */
  readonly kinds?: readonly string[]
  /** Where the user wants it to begin, epoch milliseconds; null: now. */
  readonly startTime: number | null
  /** Other services that bring some of its events, and never run beside it. It goes on where they are further, and they where it is. */
  readonly replaces?: readonly Pick<SourceService, 'name' | 'kinds'>[]
  /**
   * It makes its units out of events that are in the buffer: how an output would be called that reads them so. Such a service begins, with `once`,
   * when all others have ended, and it holds back the events that it has yet to read, as an output does. Left out: it needs none.
   */
  readonly follows?: string
}

export function readerKinds({ name, kinds }: Pick<SourceService, 'name' | 'kinds'>): readonly string[] {
  return kinds ?? [name]
}

/** At most `requests` from the minute `since` on. */
export interface MinuteLimit {
  readonly since: number
  readonly requests: number
}

/** Durable log of the requests sent, by minute; the buffer keeps it. A request may only be sent after `count` has resolved with true. */
export interface QuotaLog {
  /** Requests of the last 24 hours at least: [minute since the epoch, requests]. */
  load(pool: string): Promise<readonly (readonly [minute: number, requests: number])[]>
  /**
   * Adds one request to the minute; durable once resolved. Forgets minutes before `forgetBefore`. False: with what other processes have counted
   * meanwhile a limit allows no more, and nothing was added; minutes after this one (the clock was set back) do not count for that. A log in
   * which only one process counts at a time need not look.
   */
  count(pool: string, minute: number, forgetBefore: number, limits?: readonly MinuteLimit[]): Promise<boolean>
}
