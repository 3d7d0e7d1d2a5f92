import { DAY_MS, HOUR_MS } from './tap-api.ts'
import type { TapPool } from './tap-api.ts'
import type { TapWindow } from './tap-interval.ts'

/** One request to an endpoint of the API. */
export interface TapLogEntry {
  /** The server's time, epoch milliseconds. */
  readonly time: number
  readonly pool: TapPool
  readonly path: string
  readonly query: string
  /** Null where the request had none that the API understood. */
  readonly window: TapWindow | null
  readonly status: number
  /** Events in the answer at most (those that a filter leaves out are among them). */
  readonly events: number
  /** Whether the throttle counts it. */
  readonly counted: boolean
}

/** Every request, and the rolling 24-hour throttle over them. */
export class TapRequestLog {
  readonly entries: TapLogEntry[] = []
  readonly #counted: Record<TapPool, number[]> = { siem: [], clicks_permitted: [], threat: [] }

  add(entry: TapLogEntry): void {
    this.entries.push(entry)
    if (entry.counted) this.#counted[entry.pool].push(entry.time)
  }

  /** Counted requests of the 24 hours before `now`. */
  used(pool: TapPool, now: number): number {
    const times = this.#counted[pool]
    let old = 0
    while (old < times.length && (times[old] ?? 0) <= now - DAY_MS) old += 1
    if (old > 0) times.splice(0, old)
    return times.length
  }

  /** When the oldest counted request leaves the 24 hours, epoch milliseconds; `now` where there is none. */
  freeAt(pool: TapPool, now: number): number {
    const oldest = this.#counted[pool][0]
    return oldest === undefined ? now : oldest + DAY_MS
  }

  /** The most requests of a pool in any 24 hours, refused ones among them. */
  mostInADay(pool: TapPool): number {
    const times = this.entries.filter((entry) => entry.pool === pool).map((entry) => entry.time).sort((a, b) => a - b)
    let most = 0
    let first = 0
    for (const [index, time] of times.entries()) {
      while ((times[first] ?? 0) <= time - DAY_MS) first += 1
      most = Math.max(most, index - first + 1)
    }
    return most
  }

  /** How often each hour (by its start) was asked for with success, in whole or in part. */
  hoursAsked(path: string): ReadonlyMap<number, number> {
    const hours = new Map<number, number>()
    for (const { window, status, path: asked } of this.entries) {
      if (asked !== path || window === null || status !== 200) continue
      for (let hour = Math.floor(window.from / HOUR_MS) * HOUR_MS; hour < window.to; hour += HOUR_MS) {
        hours.set(hour, (hours.get(hour) ?? 0) + 1)
      }
    }
    return hours
  }
}
