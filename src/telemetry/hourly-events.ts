import type { Counted, Meter } from '../pipeline/counters.ts'
import { HOUR_MS } from '../pipeline/time.ts'

const HOURS = 24

/** New events of each service by the hour of the wall clock, since the start of the process: a chart, not an account. */
export class HourlyEvents implements Meter {
  readonly #services = new Map<string, Map<number, number>>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  add<N extends keyof Counted>(name: N, labels: Counted[N], amount: number): void {
    const sign = name === 'events_received_total' ? 1 : name === 'events_duplicate_total' ? -1 : 0
    if (sign === 0 || !('service' in labels)) return
    const key = keyOf(labels)
    const hours = this.#services.get(key) ?? new Map<number, number>()
    this.#services.set(key, hours)
    const hour = this.#hour()
    hours.set(hour, (hours.get(hour) ?? 0) + sign * amount)
    for (const old of hours.keys()) if (old <= hour - HOURS || old > hour) hours.delete(old)
  }

  observe(): void {
    // no events
  }

  note(): void {
    // no events
  }

  /** The last 24 hours, this one last. */
  of(service: { readonly input: string; readonly service: string }): number[] {
    const now = this.#hour()
    const hours = this.#services.get(keyOf(service))
    // An event that came at the end of an hour may be found to be a duplicate in the next.
    return Array.from({ length: HOURS }, (_, index) => Math.max(0, hours?.get(now - HOURS + 1 + index) ?? 0))
  }

  #hour(): number {
    return Math.floor(this.#now() / HOUR_MS)
  }
}

function keyOf({ input, service }: { readonly input: string; readonly service: string }): string {
  return `${input}/${service}`
}
