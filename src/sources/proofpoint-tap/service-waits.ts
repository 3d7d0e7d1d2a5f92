import type { Logger } from 'pino'
import { Backoff } from '../../pipeline/backoff.ts'
import type { CodeName } from '../../pipeline/codes.ts'
import type { Clock } from '../../pipeline/clock.ts'
import type { Conditions } from '../../pipeline/conditions.ts'
import type { Hole } from '../../pipeline/unit.ts'
import type { FailureKind, TapError } from './errors.ts'
import { MINUTE_MS, SECOND_MS, writeWindow } from './windows.ts'

/** Good answers in a row that end the trouble: one good answer between two bad ones must not make the next wait short again. */
const GOOD_ONES_TO_RECOVER = 10

/** How long one service waits after what went wrong, and how that is told: the first time in the log, all the time in the conditions. */
export class ServiceWaits {
  readonly #part: string
  readonly #clock: Clock
  readonly #log: Logger
  readonly #conditions: Conditions
  readonly #trouble: Backoff
  #goodOnes = 0
  /** A wrong password must not eat the quota. */
  readonly #login = new Backoff(MINUTE_MS, 30 * MINUTE_MS, () => 1)

  constructor(part: string, deps: { readonly clock: Clock; readonly log: Logger; readonly conditions: Conditions }, random: () => number = Math.random) {
    this.#part = part
    this.#clock = deps.clock
    this.#log = deps.log
    this.#conditions = deps.conditions
    this.#trouble = new Backoff(SECOND_MS, 5 * MINUTE_MS, random)
  }

  /** Waits after a failure. */
  async after({ kind, message, codeName = 'FetchingWaits', retryAfterMs = 0 }: TapError, window: string, signal: AbortSignal): Promise<void> {
    this.#goodOnes = 0
    const waitMs = Math.max(this.#waitFor(kind), retryAfterMs)
    this.tell(message, { code: codeName, window, waitMs: Math.round(waitMs) }, kind === 'refused' || kind === 'login' ? 'error' : 'warn')
    await this.#clock.sleep(waitMs, signal)
  }

  /** The service waits for `reason`; it goes on by itself. */
  tell(reason: string, details: { readonly code: CodeName; readonly window?: string; readonly waitMs?: number }, level: 'warn' | 'error' | 'debug' = 'warn'): void {
    const isNews = this.#conditions.set(this.#part, reason, { code: details.code })
    this.#log[isNews ? level : 'debug']({ ...details }, `Waiting, it goes on by itself: ${reason}`)
  }

  /** An answer was read whole. */
  isWell(): void {
    this.#goodOnes += 1
    if (this.#goodOnes >= GOOD_ONES_TO_RECOVER) this.#trouble.reset()
    this.#login.reset()
    const waitedMs = this.#conditions.clear(this.#part)
    if (waitedMs !== null) this.#log.info(`Reading goes on after ${Math.round(waitedMs / SECOND_MS)} s`)
  }

  showHoles(holes: readonly Hole[]): void {
    const part = `${this.#part}/holes`
    if (holes.length === 0) this.#conditions.clear(part)
    else this.#conditions.set(part, `the API cannot serve ${holes.map(writeWindow).join(', ')}; tried again every hour`, { code: 'Hole' })
  }

  #waitFor(kind: FailureKind): number {
    if (kind === 'login') return this.#login.next()
    if (kind === 'still-current' || kind === 'too-short') return Math.max(30 * SECOND_MS, this.#trouble.next())
    return this.#trouble.next()
  }
}
