import { Place, type Traveller } from './place.ts'
import { Round } from './round.ts'
import type { Requester } from './window-request.ts'
import { MINUTE_MS, SECOND_MS } from './windows.ts'

/** Marks that are no further apart count as the same. */
const TOGETHER_MS = 30 * SECOND_MS
/** A pass waits so long for services that are about to begin. */
const GATHER_MS = 10 * SECOND_MS
/** A piece that fails for several services becomes a hole sooner, for each is then asked for it alone. */
const SHARED_HOLE_AFTER_MS = 10 * MINUTE_MS

/**
 * Services that share their requests as far as they can; one alone has all to itself.
 *
 *   gathering ──all who are near have come──▶ reading (a Round) ──the pass is over──▶ resting
 *       ▲                                                                               │
 *       └──────────── the period is over, or a service near by begins a pass ───────────┘
 *
 * - Services make a pass together when their marks are the same (by 30 s) and none has a hole behind its mark. The pass begins where the first of
 *   them has to, and is full where one of them needs that.
 * - A service that is behind reads alone, from its own endpoint, up to now; but its mark goes no further than that of the live ones who share. At
 *   their next pass it is one of them.
 */
export class Company {
  readonly #requester: Requester
  readonly #names: readonly string[]
  readonly #places = new Set<Place>()
  readonly #ended = new Set<string>()
  #cancelTimer = (): void => undefined

  /** `names`: the services that can be expected. */
  constructor(names: readonly string[], requester: Requester) {
    this.#names = names
    this.#requester = requester
  }

  /** The traveller owes a `leave`. */
  join(traveller: Traveller, signal: AbortSignal): Place {
    const place: Place = new Place(traveller, signal, this.#requester.clock, {
      gathers: () => {
        for (const other of this.#near(place)) other.call()
        this.#settle()
      },
      leaves: (isDone) => {
        this.#places.delete(place)
        if (isDone) this.#ended.add(traveller.name)
        this.#settle()
      },
    })
    this.#ended.delete(traveller.name)
    this.#places.add(place)
    return place
  }

  /** Begins the passes for which nobody has to be waited. */
  #settle(): void {
    const { clock } = this.#requester
    const waits: number[] = []
    for (const place of [...this.#places].filter(({ state }) => state === 'gathering')) {
      // It went with one before.
      if (place.state !== 'gathering') continue
      const near = this.#near(place)
      if (near.some(({ state }) => state === 'called')) continue
      const waitMs = place.traveller.canShare && this.#isSomebodyAbsent() ? place.gatheringSince + GATHER_MS - clock.monotonic() : 0
      if (waitMs > 0) waits.push(waitMs)
      else this.#begin([place, ...near.filter(({ state }) => state === 'gathering')])
    }
    this.#cancelTimer()
    this.#cancelTimer = waits.length > 0 ? clock.after(Math.min(...waits), () => this.#settle()) : () => undefined
  }

  #begin(places: readonly Place[]): void {
    const travellers = places.map(({ traveller }) => traveller)
    const furthest = Math.max(...travellers.map(({ mark }) => mark))
    const ahead = [...this.#places]
      .map(({ traveller }) => traveller)
      .filter((other) => !travellers.includes(other) && other.isLive && other.canShare && other.mark > furthest + TOGETHER_MS)
    const isShared = places.length > 1
    const isFull = ahead.length > 0 || travellers.some((traveller) => traveller.wantsFull())
    const terms = {
      isFull,
      cursor: Math.min(...travellers.map((traveller) => traveller.startOf(isFull))),
      ...(ahead.length > 0 && { markCap: Math.max(...ahead.map(({ mark }) => mark)) }),
      ...(isShared && { holeAfterMs: SHARED_HOLE_AFTER_MS }),
    }
    const round = new Round(travellers.map(({ name }) => name), this.#requester)
    for (const place of places) place.begin(round, { terms, isShared })
  }

  #near(place: Place): Place[] {
    const { mark, canShare } = place.traveller
    if (!canShare) return []
    return [...this.#places].filter((other) => other !== place && other.traveller.canShare && Math.abs(other.traveller.mark - mark) <= TOGETHER_MS)
  }

  #isSomebodyAbsent(): boolean {
    const present = new Set([...this.#places].map(({ traveller }) => traveller.name))
    return this.#names.some((name) => !present.has(name) && !this.#ended.has(name))
  }
}
