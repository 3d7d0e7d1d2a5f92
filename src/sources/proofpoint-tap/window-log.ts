import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import type { Hole, Window } from '../../pipeline/unit.ts'
import type { Step } from './steps.ts'
import { HOUR_MS, MINUTE_MS, writeTime, writeWindow } from './windows.ts'

/** What one service says about its windows. */
export class WindowLog {
  readonly #log: Logger
  readonly #clock: Clock
  #progressToldAt: number
  /** It failed for several services at once, and has yet to show whether it is this one's hole. */
  #isHoleUntold = false

  constructor(log: Logger, clock: Clock) {
    this.#log = log
    this.#clock = clock
    this.#progressToldAt = clock.monotonic()
  }

  read({ window, kind }: Step, servedTo: number, events: number): void {
    if (servedTo < window.to) this.#log.warn({ code: 'WindowCutShort' }, `The API was asked for ${writeWindow(window)} and answered up to ${writeTime(servedTo)} only; the rest is read later`)
    if (kind === 'hole') {
      this.#isHoleUntold = false
      this.#log.info(`The API has served ${writeWindow(window)}, which was a hole`)
    }
    this.#log.debug({ window: writeWindow(window), kind, events }, 'A window was read')
  }

  repaired(window: Window, events: number): void {
    this.#log.warn({ code: 'InvalidUtf8', window: writeWindow(window), events }, 'Events held bytes that are not UTF-8; each such byte became U+FFFD')
  }

  /** `isShared`: several services were asked for at once; the hole may be another one's. */
  holeMade(hole: Hole, isShared: boolean): void {
    this.#isHoleUntold = isShared
    if (isShared) this.#log.warn({ code: 'SharedHole' }, `The API cannot serve ${writeWindow(hole)} for several services at once, although it serves what lies behind (${hole.reason}). Reading goes on, and each is asked for it alone`)
    else this.#tellHole(hole, hole.reason)
  }

  holeFailed(window: Window, reason: string): void {
    if (this.#isHoleUntold) this.#tellHole(window, reason)
    else this.#log.debug({ window: writeWindow(window) }, `A hole is still one: ${reason}`)
    this.#isHoleUntold = false
  }

  gap({ from, to }: Window, reason: string): void {
    this.#log.error({ code: 'Gap' }, `A gap: the events from ${writeTime(from)} to ${writeTime(to)} are lost, because they can no longer be asked for: ${reason}`)
  }

  /** `behindMs`: how much is left to read. */
  progress(servedTo: number, behindMs: number): void {
    if (behindMs < HOUR_MS || this.#clock.monotonic() - this.#progressToldAt < MINUTE_MS) return
    this.#progressToldAt = this.#clock.monotonic()
    this.#log.info(`Catching up: read up to ${writeTime(servedTo)}, ${Math.ceil(behindMs / HOUR_MS)} hours are left`)
  }

  #tellHole(window: Window, reason: string): void {
    this.#log.error({ code: 'Hole' }, `A hole: the API cannot serve ${writeWindow(window)}, although it serves what lies behind (${reason}). Reading goes on; the hole is tried again every hour`)
  }
}
