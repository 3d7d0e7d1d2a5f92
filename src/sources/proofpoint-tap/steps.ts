import type { Window } from '../../pipeline/unit.ts'

export interface PassRules {
  readonly periodMs: number
  readonly lookBackMs: number
  readonly sweepPeriodMs: number
}

/** How a pass is made. */
export interface PassTerms {
  /** Only a full pass moves the mark. */
  readonly isFull: boolean
  /** It begins here. */
  readonly cursor: number
  /** The mark goes no further, or Infinity: there the other services are, whose requests this one is to share. */
  readonly markCap: number
  readonly holeAfterMs: number
}

export interface Instant {
  /** The API's clock; never ahead of it. */
  readonly server: number
  /** Whether the API has told its time yet. */
  readonly isKnown: boolean
  /** The local clock, epoch milliseconds. */
  readonly local: number
  readonly monotonic: number
}

/** What to ask for next: `probe` is a window behind a failing piece, to see whether the API otherwise answers; `hole` a hole to try again. */
export interface Step {
  readonly kind: 'read' | 'probe' | 'hole'
  readonly window: Window
  /** Nothing is due behind this window. */
  readonly isLast: boolean
}

/** What the API no longer keeps; of a hole, reading has gone on behind it. */
export interface Loss {
  readonly kind: 'gap' | 'hole-lost'
  readonly window: Window
}
