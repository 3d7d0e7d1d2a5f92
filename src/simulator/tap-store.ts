import type { TapArray } from './tap-api.ts'

/** An event as the API holds it. Times are epoch milliseconds of the server's clock. */
export interface TapEvent {
  readonly service: TapArray
  /** What a window matches. */
  readonly createdAt: number
  /** When the API first shows it; left out: at once. */
  readonly visibleAt?: number
  /** Times [from, to) in which it is not shown although it was before. */
  readonly hidden?: readonly (readonly [from: number, to: number])[]
  /**
   * An object (its `messageParts` and `threatsInfoMap` come in another order at each request), or the text or bytes to put in its place
   * as they are.
   */
  readonly content: object | string | Uint8Array
  /** How an object is written: with white space between its tokens, or with every character outside ASCII (and every `/`) escaped. */
  readonly style?: 'plain' | 'spaced' | 'escaped'
  /** What the filters compare; for an object they are read from it. */
  readonly threatStatuses?: readonly string[]
  readonly threatTypes?: readonly string[]
}

/** Events by index, made only when they are asked for. Null: that one is outside after all. */
export interface EventSlots {
  readonly length: number
  at(index: number): TapEvent | null
}

/** Makes events of a service for any window (both ends inclusive), always the same ones for the same window. */
export interface TapEventSupply {
  slots(service: TapArray, from: number, to: number): EventSlots
}

/** Added events, kept sorted by creation, and supplies of events that are never kept. */
export class TapEventStore {
  readonly #added = new Map<TapArray, TapEvent[]>()
  readonly #unsorted = new Set<TapArray>()
  readonly #supplies: TapEventSupply[] = []

  add(...events: readonly TapEvent[]): void {
    for (const event of events) {
      const list = this.#added.get(event.service) ?? []
      this.#added.set(event.service, list)
      if (event.createdAt < (list.at(-1)?.createdAt ?? -Infinity)) this.#unsorted.add(event.service)
      list.push(event)
    }
  }

  supply(supply: TapEventSupply): void {
    this.#supplies.push(supply)
  }

  /** Drops added events created before `time`; a long simulation owes this, for it keeps all others. */
  forget(time: number): void {
    for (const [service, list] of this.#added) this.#added.set(service, list.filter((event) => event.createdAt >= time))
  }

  get added(): number {
    return [...this.#added.values()].reduce((sum, list) => sum + list.length, 0)
  }

  /** What was created in [from, to] (inclusive) and is shown at `now`. Slots that turn out null are not shown. */
  select(service: TapArray, from: number, to: number, now: number): EventSlots {
    const known = this.#between(service, from, to).filter((event) => isShown(event, now))
    const supplied = this.#supplies.map((supply) => supply.slots(service, from, to)).filter((slots) => slots.length > 0)
    if (supplied.length === 0) return { length: known.length, at: (index) => known[index] ?? null }
    const parts: EventSlots[] = [{ length: known.length, at: (index) => known[index] ?? null }, ...supplied]
    const inWindow = (event: TapEvent) => event.createdAt >= from && event.createdAt <= to
    return {
      length: parts.reduce((sum, part) => sum + part.length, 0),
      at(index) {
        let rest = index
        for (const part of parts) {
          if (rest < part.length) {
            const event = part.at(rest)
            return event !== null && inWindow(event) && isShown(event, now) ? event : null
          }
          rest -= part.length
        }
        return null
      },
    }
  }

  #between(service: TapArray, from: number, to: number): TapEvent[] {
    const list = this.#added.get(service) ?? []
    if (this.#unsorted.delete(service)) list.sort((a, b) => a.createdAt - b.createdAt)
    return list.slice(firstAtLeast(list, from), firstAtLeast(list, to + 1))
  }
}

function isShown({ createdAt, visibleAt = createdAt, hidden = [] }: TapEvent, now: number): boolean {
  return visibleAt <= now && !hidden.some(([from, to]) => now >= from && now < to)
}

function firstAtLeast(sorted: readonly TapEvent[], time: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle]?.createdAt ?? Infinity) < time) low = middle + 1
    else high = middle
  }
  return low
}
