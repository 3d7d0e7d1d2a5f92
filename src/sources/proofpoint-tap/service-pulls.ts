import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import type { Counters } from '../../pipeline/counters.ts'
import type { Pull } from '../../pipeline/event.ts'
import type { Gap, Position, Unit, Window } from '../../pipeline/unit.ts'
import type { TapInputConfig, TapServiceConfig } from './config.ts'
import { PullReport } from './pull-report.ts'
import type { ResponsePart } from './response.ts'
import { MINUTE_MS } from './windows.ts'

/** A pull that has waited for so long is over: what comes then belongs to a new one, or its events would carry a time long past. */
const RENEW_AFTER_MS = 5 * MINUTE_MS

export interface PullDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly counters: Counters
}

/** The pulls of one service, one for each pass, and the units that are made in them. */
export class ServicePulls {
  readonly #origin: Omit<Pull, 'pulledAt'>
  readonly #labels: { readonly input: string; readonly service: string }
  readonly #deps: PullDependencies
  #report: PullReport
  /** By the monotonic clock: when the pull last got an answer or handed out a window. */
  #progressAt: number

  constructor({ id: inputId, name: input, environment }: TapInputConfig, { name: service }: TapServiceConfig, deps: PullDependencies) {
    this.#origin = { inputId, service, environment }
    this.#labels = { input, service }
    this.#deps = deps
    this.#report = new PullReport(this.#origin, deps.clock, deps.log)
    this.#progressAt = this.#report.beganAt
  }

  /** By the monotonic clock. */
  get beganAt(): number {
    return this.#report.beganAt
  }

  begin(): void {
    this.#report = new PullReport(this.#origin, this.#deps.clock, this.#deps.log)
    this.#progressAt = this.#report.beganAt
  }

  end(): void {
    this.#report.end()
  }

  completed(waitMs: number): void {
    this.#report.completed(waitMs)
  }

  requested(): void {
    this.#report.requested()
  }

  /** An answer begins to arrive; gives the pull that its events belong to. */
  answered(): Pull {
    const now = this.#deps.clock.monotonic()
    if (now - this.#progressAt > RENEW_AFTER_MS) {
      this.end()
      this.begin()
    }
    this.#progressAt = now
    return this.#report.pull
  }

  /** A window is in other hands. */
  progressed(): void {
    this.#progressAt = this.#deps.clock.monotonic()
  }

  received(events: number, duplicates: number): void {
    this.#report.received(events, duplicates)
    this.#deps.counters.add('events_received_total', this.#labels, events)
    this.#deps.counters.add('events_duplicate_total', this.#labels, duplicates)
  }

  unit(window: Window, part: ResponsePart | null, { settled, holes }: Pick<Position, 'settled' | 'holes'>, forgotten: readonly Window[] = []): Unit {
    const events = part?.events ?? 0
    const seen = part === null || part.fingerprints.length === 0 ? null : { window, fingerprints: part.fingerprints }
    const position = { settled, readAt: this.#deps.clock.now(), holes, gaps: [], seen, forgotten }
    this.#report.sent(events)
    const { pull } = this.#report
    return { ...pull, service: part?.array ?? pull.service, reader: pull.service, window, chunks: part?.chunks ?? [], deadLetters: part?.deadLetters ?? [], position }
  }

  /** A unit without events that writes down a gap. */
  gapUnit(window: Window, reason: string, position: Pick<Position, 'settled' | 'holes'>): Unit {
    const gap: Gap = { ...window, recordedAt: this.#deps.clock.now(), reason }
    const unit = this.unit(window, null, position)
    return { ...unit, position: { ...unit.position, gaps: [gap] } }
  }
}
