import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import type { Pull } from '../../pipeline/event.ts'
import { SECOND_MS } from './windows.ts'

/** One pull, and the lines in the log that operators of Devo's collectors know. */
export class PullReport {
  readonly pull: Pull
  /** By the monotonic clock. */
  readonly beganAt: number
  readonly #clock: Clock
  readonly #log: Logger
  #requests = 0
  #received = 0
  #duplicates = 0
  #sent = 0

  constructor(origin: Omit<Pull, 'pulledAt'>, clock: Clock, log: Logger) {
    this.pull = { ...origin, pulledAt: clock.now() }
    this.beganAt = clock.monotonic()
    this.#clock = clock
    this.#log = log
    log.info('Pull Started')
  }

  requested(): void {
    this.#requests += 1
  }

  received(received: number, duplicates: number): void {
    this.#received += received
    this.#duplicates += duplicates
  }

  sent(events: number): void {
    this.#sent += events
  }

  end(): void {
    const seconds = this.#seconds()
    const rate = seconds > 0 ? this.#sent / seconds : this.#sent
    this.#log.info(
      `Statistics for this pull cycle (@devo_pulling_id=${this.pull.pulledAt}): Number of requests made: ${this.#requests}; ` +
        `Number of events received: ${this.#received}; Number of duplicated events filtered out: ${this.#duplicates}; ` +
        `Number of events generated and sent: ${this.#sent}; Average of events per second: ${rate.toFixed(3)}.`,
    )
  }

  completed(waitMs: number): void {
    this.#log.info(
      `Data collection completed. Elapsed time: ${this.#seconds().toFixed(3)} seconds. ` +
        `Waiting for ${(waitMs / SECOND_MS).toFixed(3)} second(s) until the next one`,
    )
  }

  #seconds(): number {
    return (this.#clock.monotonic() - this.beganAt) / SECOND_MS
  }
}
