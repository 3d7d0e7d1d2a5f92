import type { Clock } from '../../pipeline/clock.ts'
import { RetryableError } from '../../pipeline/errors.ts'

/** So many events may be refused while none is taken; more are no accident of single events. */
export const REFUSALS_WITHOUT_WITNESS = 10

/** What the shipments of one output have learnt of its destination together. */
export class Limits {
  /** Uncompressed: what the user has set, or less where the destination says that it is too much. */
  requestBytes: number
  /** Events refused for good, in delivered shipments, since one was last taken. */
  refusedInARow = 0
  readonly #clock: Clock
  #closedUntil = -Infinity
  #why = ''

  constructor(requestBytes: number, clock: Clock) {
    this.requestBytes = requestBytes
    this.#clock = clock
  }

  /** Nobody sends before that time, which the destination has named. */
  closeFor(ms: number, why: string): void {
    const until = this.#clock.monotonic() + ms
    if (until <= this.#closedUntil) return
    this.#closedUntil = until
    this.#why = why
  }

  /** Why nothing may be sent now, with the wait that is left; null where it may. */
  get closed(): RetryableError | null {
    const left = this.#closedUntil - this.#clock.monotonic()
    return left > 0 ? new RetryableError(this.#why, { code: 'HttpBusy', retryAfterMs: left }) : null
  }
}
