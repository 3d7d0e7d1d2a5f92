import type { Hole, Window } from '../../pipeline/unit.ts'
import { floorToSecond, HOUR_MS, LONGEST_WINDOW_MS, MINUTE_MS, SHORTEST_WINDOW_MS } from './windows.ts'

const TRY_AGAIN_MS = HOUR_MS
/** Between two failed tries of a service, however many holes it has: holes must not eat the quota. */
const BETWEEN_FAILURES_MS = 5 * MINUTE_MS

/**
 * The pieces that the API could not serve, sorted and apart from each other. Reading jumps over them; they are tried again every hour, one
 * by one. A hole that fails again and is long enough is cut in two, so that what can be served of it is.
 */
export class HoleBook {
  #holes: Hole[]
  #failedAt: number | null = null
  /** A new hole is tried at once: the API may have come back between its failure and the answer that made it a hole. */
  #isFresh = false

  constructor(saved: readonly Hole[]) {
    this.#holes = [...saved].sort((a, b) => a.from - b.from)
  }

  get list(): readonly Hole[] {
    return this.#holes
  }

  add(window: Window, time: number, reason: string): void {
    // A new list each time: units that are on their way hold the old one.
    this.#holes = [...this.#holes, { ...window, since: time, triedAt: time, reason }].sort((a, b) => a.from - b.from)
    this.#isFresh = true
  }

  /** The piece of a hole to try now: of the one that was tried longest ago. */
  due(time: number, monotonic: number): Window | null {
    if (this.#failedAt !== null && monotonic - this.#failedAt < BETWEEN_FAILURES_MS) return null
    const oldest = this.#holes.reduce<Hole | null>((first, hole) => (first === null || hole.triedAt < first.triedAt ? hole : first), null)
    if (oldest === null || (!this.#isFresh && time - oldest.triedAt < TRY_AGAIN_MS)) return null
    return { from: oldest.from, to: Math.min(oldest.to, firstPieceEnd(oldest)) }
  }

  /** [from, to) has been read, or is lost for good. */
  close({ from, to }: Window): void {
    this.#holes = this.#holes.flatMap((hole) => {
      if (hole.to <= from || hole.from >= to) return [hole]
      const before = { ...hole, to: Math.min(hole.to, from) }
      const after = { ...hole, from: Math.max(hole.from, to) }
      return [before, after].filter((rest) => rest.to > rest.from)
    })
  }

  /** The piece that was tried failed again. */
  failed(window: Window, time: number, monotonic: number, reason: string): void {
    this.#failedAt = monotonic
    this.#isFresh = false
    this.#holes = this.#holes.flatMap((hole) => {
      if (hole.from !== window.from) return [hole]
      const tried = { ...hole, triedAt: time, reason }
      const middle = floorToSecond((window.from + window.to) / 2)
      if (middle - window.from < SHORTEST_WINDOW_MS || window.to - middle < SHORTEST_WINDOW_MS) return [tried]
      return [{ ...tried, to: middle }, { ...tried, from: middle, triedAt: hole.triedAt }]
    })
  }

  /** Where reading from `from` really starts: behind a hole, or so far before the next one that the piece up to it can be asked for. */
  startFrom(from: number): number {
    let start = from
    for (const hole of this.#holes) {
      if (start >= hole.from && start < hole.to) start = hole.to
      else if (start < hole.from && hole.from - start < SHORTEST_WINDOW_MS) return hole.from - SHORTEST_WINDOW_MS
    }
    return start
  }

  /** The first hole that begins in [from, limit), as the end of what can be read in one go. */
  boundBehind(from: number, limit: number): number {
    const next = this.#holes.find((hole) => hole.from >= from && hole.from < limit)
    return next?.from ?? limit
  }

  touches({ from, to }: Window, slackMs: number): boolean {
    return this.#holes.some((hole) => hole.from <= to + slackMs && hole.to >= from - slackMs)
  }
}

function firstPieceEnd({ from, to }: Window): number {
  const end = from + LONGEST_WINDOW_MS
  return to - end > 0 && to - end < SHORTEST_WINDOW_MS ? to - SHORTEST_WINDOW_MS : end
}
