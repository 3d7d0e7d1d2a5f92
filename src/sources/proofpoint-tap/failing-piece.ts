import type { Window } from '../../pipeline/unit.ts'
import { MINUTE_MS, SECOND_MS } from './windows.ts'

/** A failing piece of at most this length can become a hole. */
const HOLE_MAX_MS = 60 * SECOND_MS
/** Probes step away from the piece so many times, then begin again directly behind it. */
const PROBES_IN_A_ROW = 8

/** A piece that the API could not serve although it may otherwise answer, and the probes behind it that are to tell. */
export class FailingPiece {
  readonly #since: number
  #window: Window
  #reason: string
  #isProbeDue = false
  #probes = 0

  /** `since`: by the monotonic clock. */
  constructor(window: Window, since: number, reason: string) {
    this.#window = window
    this.#since = since
    this.#reason = reason
  }

  get window(): Window {
    return this.#window
  }

  get reason(): string {
    return this.#reason
  }

  /** The next step is a probe. */
  get isProbeDue(): boolean {
    return this.#isProbeDue
  }

  /** It failed (again), perhaps shorter than before; true where that makes a probe due. */
  failed(window: Window, reason: string, monotonic: number, holeAfterMs: number): boolean {
    this.#window = window
    this.#reason = reason
    this.#isProbeDue = window.to - window.from <= HOLE_MAX_MS && monotonic - this.#since >= holeAfterMs
    return this.#isProbeDue
  }

  /** The piece itself is tried before the next probe. */
  probeFailed(): void {
    this.#isProbeDue = false
    this.#probes += 1
  }

  /**
   * The first window behind the piece that `windowFrom` gives: directly behind it, then further and further away, for more than one piece may be
   * bad. Null where there is none yet.
   */
  probe(windowFrom: (start: number) => Window | null): Window | null {
    const step = this.#probes % PROBES_IN_A_ROW
    const window = windowFrom(this.#window.to + (2 ** step - 1) * MINUTE_MS)
    if (window !== null || step === 0) return window
    this.#probes = 0
    return windowFrom(this.#window.to)
  }
}
