import type { MinuteLimit } from '../../pipeline/source.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from './windows.ts'

/** At most `requests` in any `periodMs`. */
export interface RequestLimit {
  readonly periodMs: number
  readonly requests: number
}

/** A request may reach the API this much later than it was counted. */
const ON_THE_WAY_MINUTES = 1

/** The requests of the last period by minute, against any number of limits. */
export class QuotaUse {
  #limits: readonly RequestLimit[] = []
  #minutes = new Map<number, number>()
  /** What the log holds, as far as that is in `#minutes`. */
  #logged = new Map<number, number>()

  get limits(): readonly RequestLimit[] {
    return this.#limits
  }

  addLimits(limits: readonly RequestLimit[]): void {
    const isNew = ({ periodMs, requests }: RequestLimit): boolean =>
      !this.#limits.some((known) => known.periodMs === periodMs && known.requests === requests)
    this.#limits = [...this.#limits, ...limits.filter(isNew)]
  }

  /**
   * Takes over what the log holds beyond what it is known to hold: requests of other processes, in whatever minute. What is reserved here and
   * not yet written stays beside it. Must not overlap a writing of the log, or that would count twice or not at all.
   */
  load(minutes: readonly (readonly [minute: number, requests: number])[]): void {
    for (const [minute, requests] of minutes) {
      const others = requests - (this.#logged.get(minute) ?? 0)
      if (others > 0) this.#add(minute, others)
    }
    this.#logged = new Map(minutes)
  }

  /** A reservation is in the log now. */
  written(at: number): void {
    const minute = minuteOf(at)
    this.#logged.set(minute, (this.#logged.get(minute) ?? 0) + 1)
  }

  /** Takes one request; false where a limit allows none. */
  reserve(now: number): boolean {
    this.#tidy(now)
    if (this.remaining(now) === 0) return false
    this.#add(minuteOf(now), 1)
    return true
  }

  /** A reservation that the log has not taken. */
  giveBack(at: number): void {
    this.#add(minuteOf(at), -1)
  }

  /** A reservation is written down in a later minute than it was made. */
  move(from: number, to: number): void {
    if (minuteOf(from) === minuteOf(to)) return
    this.#add(minuteOf(from), -1)
    this.#add(minuteOf(to), 1)
  }

  /** Requests that are left now; null where there is no limit. */
  remaining(now: number): number | null {
    return this.#limits.reduce<number | null>((least, limit) => {
      const left = Math.max(0, limit.requests - this.used(limit.periodMs, now))
      return least === null ? left : Math.min(least, left)
    }, null)
  }

  used(periodMs: number, now: number): number {
    let used = 0
    for (const [minute, requests] of this.#minutes) if (leavesAt(minute, periodMs) > now) used += requests
    return used
  }

  /** When the next request is allowed, epoch milliseconds. */
  freeAt(now: number): number {
    const times = this.#limits.map(({ periodMs, requests }) => {
      let tooMany = this.used(periodMs, now) - requests + 1
      for (const [minute, count] of [...this.#minutes].sort(([a], [b]) => a - b)) {
        if (tooMany <= 0) break
        const at = leavesAt(minute, periodMs)
        if (at <= now) continue
        tooMany -= count
        if (tooMany <= 0) return at
      }
      return tooMany <= 0 ? now : now + periodMs
    })
    return Math.max(now, ...times)
  }

  /** The limits as the log can hold them, for a request that is counted now. */
  minuteLimits(now: number): MinuteLimit[] {
    return this.#limits.map(({ periodMs, requests }) => ({ since: minuteOf(now - periodMs) - ON_THE_WAY_MINUTES, requests }))
  }

  /** No limit asks for minutes before this one. */
  forgetBefore(now: number): number {
    const longest = Math.max(DAY_MS, ...this.#limits.map(({ periodMs }) => periodMs))
    return minuteOf(now - longest) - ON_THE_WAY_MINUTES - 1
  }

  #add(minute: number, requests: number): void {
    const sum = (this.#minutes.get(minute) ?? 0) + requests
    if (sum > 0) this.#minutes.set(minute, sum)
    else this.#minutes.delete(minute)
  }

  /** Drops what is past; minutes in the future (the clock was set back) count as this one, or they would block for as long as it was wrong. */
  #tidy(now: number): void {
    const oldest = this.forgetBefore(now)
    const current = minuteOf(now)
    for (const [minute, requests] of [...this.#minutes]) {
      if (minute >= oldest && minute <= current + 1) continue
      this.#minutes.delete(minute)
      if (minute > current) this.#add(current, requests)
    }
  }
}

/** For a person: `6 in 60 s, 1800 in 24 h`. */
export function describeLimits(limits: readonly RequestLimit[]): string {
  return limits.map(({ periodMs, requests }) => `${requests} in ${periodMs % HOUR_MS === 0 ? `${periodMs / HOUR_MS} h` : `${periodMs / SECOND_MS} s`}`).join(', ')
}

export function minuteOf(epochMs: number): number {
  return Math.floor(epochMs / MINUTE_MS)
}

function leavesAt(minute: number, periodMs: number): number {
  return (minute + 1 + ON_THE_WAY_MINUTES) * MINUTE_MS + periodMs
}
