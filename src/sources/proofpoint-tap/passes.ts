import type { Hole, Window } from '../../pipeline/unit.ts'
import { FailingPiece } from './failing-piece.ts'
import { HORIZON_MS } from './config.ts'
import { HoleBook } from './holes.ts'
import type { Instant, Loss, PassRules, PassTerms, Step } from './steps.ts'
import { cutWindow, DAY_MS, floorToSecond, HOUR_MS, MINUTE_MS, SECOND_MS, SHORTEST_WINDOW_MS, WindowLength } from './windows.ts'

/** A window ends so long before the server's time: one that is still current is refused. */
export const LIVE_EDGE_MS = 30 * SECOND_MS
/** Where reading goes on after a gap: so far inside the horizon that it does not run away again at once. */
const INSIDE_HORIZON_MS = 10 * MINUTE_MS
const LIGHT_OVERLAP_MS = 2 * MINUTE_MS
/**
 * Fingerprints are known so far behind the mark: interval ends may be inclusive, a piece before a hole may begin up to 30 s before the mark, and a
 * shared pass up to 60.
 */
export const FORGET_AFTER_MS = 60 * SECOND_MS
/** A failing piece can become a hole after so long. */
const HOLE_AFTER_MS = HOUR_MS

interface Pass {
  readonly terms: PassTerms
  readonly beganAt: number
  cursor: number
  /** An earlier window of the pass ended where the API may still change what it shows: the mark stays. */
  isStopped: boolean
  /** A window of the pass was read while the API's time was not known, so that nothing of it is final. */
  isBlind: boolean
  isOver: boolean
  /** Stay so much further from the live edge, because the API called a window still current. */
  marginMs: number
}

/**
 * Which windows a service reads, and what that does to its mark. Pure logic: no clock, no I/O.
 *
 *   begin ──▶ next ──▶ served ──▶ next ... ──▶ null: the pass is over
 *               ▲         │
 *               └─ failed ┘   (after a wait, the same place again)
 *
 * After a window [a, b), requested at server time t, is in the buffer: `settled = max(settled, min(b, t − look_back))`, as long as no
 * earlier window of the same pass ended after its own t − look_back. A light pass never moves it. A full pass that began before the API's time
 * was known begins again when it is.
 *
 * No clock alone makes a gap: what lies before the horizon is asked for like everything else, and only the API's own "too far into the
 * past" gives it up (`lossAt`, `lost`).
 */
export class Passes {
  readonly #rules: PassRules
  readonly #length = new WindowLength()
  readonly #holes: HoleBook
  /** What ends at one of these others may have read: it is a window of its own. */
  readonly #seams: readonly number[]
  #settled: number
  #furthest: number
  #lastFullAt: number | null = null
  #pass: Pass | null = null
  #failing: FailingPiece | null = null

  constructor(rules: PassRules, saved: { readonly settled: number; readonly holes: readonly Hole[] }, seams: readonly number[] = []) {
    this.#rules = rules
    this.#seams = seams
    this.#settled = floorToSecond(saved.settled)
    this.#furthest = this.#settled
    this.#holes = new HoleBook(saved.holes)
  }

  get settled(): number {
    return this.#settled
  }

  /** The furthest end that was read. */
  get furthest(): number {
    return this.#furthest
  }

  get holes(): readonly Hole[] {
    return this.#holes.list
  }

  /** Whether nothing is left before `limit` that could be asked for, holes apart. */
  isReadUpTo(limit: number): boolean {
    return limit - this.#holes.startFrom(this.#furthest) < SHORTEST_WINDOW_MS
  }

  /** Whole seconds; windows end here at the latest. */
  static limit(server: number): number {
    return floorToSecond(server - LIVE_EDGE_MS)
  }

  /** Whether a pass of this service alone would be full now: after a sweep period, and in any case before the mark is beyond the horizon. */
  wantsFull({ monotonic, server }: Instant): boolean {
    const { periodMs, sweepPeriodMs } = this.#rules
    if (this.#lastFullAt === null || server - this.#settled > HORIZON_MS - DAY_MS - periodMs) return true
    return monotonic - this.#lastFullAt >= sweepPeriodMs - periodMs / 2
  }

  /** Where a pass of this service alone would begin. */
  startOf(isFull: boolean): number {
    return isFull ? this.#settled : Math.max(this.#settled, this.#furthest - LIGHT_OVERLAP_MS)
  }

  /** What is left out is as a service alone has it. A cursor may lie up to FORGET_AFTER_MS before the mark. */
  begin(now: Instant, terms: Partial<PassTerms> = {}): void {
    const { isFull = this.wantsFull(now) } = terms
    const { cursor = this.startOf(isFull), markCap = Infinity, holeAfterMs = HOLE_AFTER_MS } = terms
    const beganAt = now.monotonic
    this.#pass = { terms: { isFull, cursor, markCap, holeAfterMs }, beganAt, cursor, isStopped: false, isBlind: false, isOver: false, marginMs: 0 }
  }

  /** For a service that was to begin now and whose clock was ahead of the API's: it begins here at the latest, epoch milliseconds. */
  beginNoLaterThan(time: number, now: Instant): void {
    if (this.#settled <= time) return
    this.#settled = floorToSecond(time)
    this.#furthest = this.#settled
    this.#failing = null
    this.#lastFullAt = null
    this.#beginAgain(now)
  }

  /** To be called between two steps as soon as the API's time is known: a full pass that was blind to it begins again. */
  timeIsKnown(now: Instant): void {
    if (this.#pass?.isBlind === true) this.#beginAgain(now)
  }

  /** Null: the pass is over. */
  next(now: Instant): Step | null {
    const pass = this.#pass
    if (pass === null || pass.isOver) return null
    return this.#holeStep(now) ?? this.#readStep(pass, now)
  }

  /**
   * The window of a step was read up to `servedTo` (not beyond the window), asked for at `requestedAt` of the API's clock. `isTooMuch`: it was so
   * large or so slow that the next ones are to be shorter.
   */
  served(step: Step, { servedTo, requestedAt, isTooMuch, now }: { servedTo: number; requestedAt: number; isTooMuch: boolean; now: Instant }): void {
    const { window, kind } = step
    if (isTooMuch) this.#length.halve(window)
    else this.#length.good()
    if (kind === 'hole') {
      const end = servedTo < window.to ? Math.min(servedTo, window.to - SHORTEST_WINDOW_MS) : window.to
      if (end > window.from) this.#holes.close({ from: window.from, to: end })
      else this.#holes.failed(window, now.server, now.monotonic, 'the API does not answer for all of it')
      return
    }
    const pass = this.#pass
    if (pass === null) throw new Error('a window was served outside a pass')
    if (kind === 'probe' && this.#failing !== null) {
      const { window: { from }, reason } = this.#failing
      this.#holes.add({ from, to: window.from }, now.server, reason)
    }
    this.#failing = null
    this.#moveMark(pass, servedTo, requestedAt)
    pass.cursor = servedTo
    this.#furthest = Math.max(this.#furthest, servedTo)
    if (pass.terms.isFull && requestedAt === -Infinity) pass.isBlind = true
    if (pass.terms.isFull && !pass.isBlind) this.#lastFullAt = pass.beganAt
    if (step.isLast || servedTo < window.to) pass.isOver = true
  }

  /**
   * A step failed. `isPieceAtFault`: what failed may be this window and not the API as a whole; `isTooMuch`: a shorter one may go well.
   * Returns true where the next step is worth trying at once.
   */
  failed(step: Step, { isPieceAtFault, isTooMuch, reason, now }: { isPieceAtFault: boolean; isTooMuch: boolean; reason: string; now: Instant }): boolean {
    const { window, kind } = step
    if (kind === 'hole') {
      this.#holes.failed(window, now.server, now.monotonic, reason)
      return true
    }
    if (kind === 'probe') {
      this.#failing?.probeFailed()
      return false
    }
    if (!isPieceAtFault) return false
    if (isTooMuch) this.#length.halve(window)
    if (this.#failing?.window.from !== window.from) this.#failing = new FailingPiece(window, now.monotonic, reason)
    return this.#failing.failed(window, reason, now.monotonic, this.#pass?.terms.holeAfterMs ?? HOLE_AFTER_MS)
  }

  /** The API called the window still current: its clock is behind what we thought. */
  retreat(): void {
    if (this.#pass !== null) this.#pass.marginMs += LIVE_EDGE_MS
  }

  /**
   * The API no longer keeps the beginning of this step's window: what is lost, as far as both clocks say so. A clock that is ahead therefore
   * loses nothing, and one that is behind makes it ten minutes at a time.
   */
  lossAt({ window, kind }: Step, { server, local }: Instant): Loss {
    const from = kind === 'probe' ? (this.#failing?.window.from ?? window.from) : window.from
    const to = Math.max(floorToSecond(Math.min(server, local) - HORIZON_MS), window.from) + INSIDE_HORIZON_MS
    if (kind !== 'hole') return { kind: 'gap', window: { from, to } }
    return { kind: 'hole-lost', window: { from, to: window.to - to < SHORTEST_WINDOW_MS ? window.to : to } }
  }

  /** Gives it up. */
  lost({ window, kind }: Loss, now: Instant): void {
    this.#holes.close(window)
    if (kind === 'hole-lost') return
    this.#settled = Math.max(this.#settled, window.to)
    this.#furthest = Math.max(this.#furthest, this.#settled)
    this.#failing = null
    this.#lastFullAt = null
    this.#beginAgain(now)
  }

  /** Which of these windows' fingerprints can no longer be met again; `current` belongs to the unit that is being made. */
  forgettable(windows: readonly Window[], current: Window): Window[] {
    return windows.filter(
      (window) =>
        window.to + FORGET_AFTER_MS < this.#settled &&
        !this.#holes.touches(window, FORGET_AFTER_MS) &&
        (window.from !== current.from || window.to !== current.to),
    )
  }

  /** The same pass from its start, which has moved. */
  #beginAgain(now: Instant): void {
    const { markCap, holeAfterMs } = this.#pass?.terms ?? {}
    this.begin(now, { ...(markCap !== undefined && { markCap }), ...(holeAfterMs !== undefined && { holeAfterMs }) })
  }

  #moveMark(pass: Pass, servedTo: number, requestedAt: number): void {
    const { isFull, markCap } = pass.terms
    if (!isFull || pass.isStopped) return
    const final = floorToSecond(requestedAt - this.#rules.lookBackMs)
    this.#settled = Math.max(this.#settled, Math.min(servedTo, final, markCap))
    if (servedTo > final) pass.isStopped = true
  }

  #holeStep({ server, monotonic }: Instant): Step | null {
    const window = this.#holes.due(server, monotonic)
    return window === null ? null : { kind: 'hole', window, isLast: false }
  }

  #readStep(pass: Pass, { server, isKnown }: Instant): Step | null {
    const limit = Passes.limit(server) - pass.marginMs
    const probe = this.#failing?.isProbeDue === true ? this.#failing.probe((start) => this.#windowBehind(start, limit)) : null
    if (probe !== null) return { kind: 'probe', window: probe, isLast: isKnown && probe.to === limit }
    const from = this.#holes.startFrom(pass.cursor)
    const bound = this.#holes.boundBehind(from, limit)
    const lengths = this.#seams.map((seam) => seam - from).filter((length) => length >= SHORTEST_WINDOW_MS)
    const window = cutWindow(from, bound, Math.min(this.#length.value, ...lengths))
    return window === null ? null : { kind: 'read', window, isLast: isKnown && window.to === limit }
  }

  /** A window from `start` on, or from behind a hole there; never one that begins before `start`. */
  #windowBehind(start: number, limit: number): Window | null {
    const from = this.#holes.startFrom(start)
    return from < start ? null : cutWindow(from, this.#holes.boundBehind(from, limit), this.#length.value)
  }
}
