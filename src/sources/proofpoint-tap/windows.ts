import { HOUR_MS, SECOND_MS } from '../../pipeline/time.ts'
import type { Window } from '../../pipeline/unit.ts'

export { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../pipeline/time.ts'

/** The API's bounds for one request (facts on the SIEM API: at least 30 s, at most an hour). */
export const SHORTEST_WINDOW_MS = 30 * SECOND_MS
export const LONGEST_WINDOW_MS = HOUR_MS
/** An answer that takes longer than this, or is larger, is too much for one window. */
const TOO_LONG_MS = 60 * SECOND_MS
const TOO_LARGE_BYTES = 256 * 1024 * 1024
const GOOD_ONES_BEFORE_GROWTH = 10

/** The API's times are whole seconds. */
export function floorToSecond(epochMs: number): number {
  return Math.floor(epochMs / SECOND_MS) * SECOND_MS
}

/** `2026-11-20T10:00:00Z`: to the second, as the API writes it, and without a `+` that a query would have to escape. */
export function writeTime(epochMs: number): string {
  return new Date(floorToSecond(epochMs)).toISOString().replace(/\.\d+Z$/, 'Z')
}

export function writeWindow({ from, to }: Window): string {
  return `${writeTime(from)}/${writeTime(to)}`
}

/**
 * The next window in [from, limit): at most `longest`, and never so that less than the API's shortest window is left behind it.
 * Null: too little is there for a request.
 */
export function cutWindow(from: number, limit: number, longest: number): Window | null {
  const available = limit - from
  if (available < SHORTEST_WINDOW_MS) return null
  if (available <= longest) return { from, to: limit }
  const rest = available - longest
  if (rest >= SHORTEST_WINDOW_MS) return { from, to: from + longest }
  return { from, to: available < 2 * SHORTEST_WINDOW_MS ? limit : limit - SHORTEST_WINDOW_MS }
}

/** Whether an answer was too much, though it came: the next windows are to be shorter. */
export function isTooMuch({ tookMs, bytes }: { readonly tookMs: number; readonly bytes: number }): boolean {
  return tookMs > TOO_LONG_MS || bytes > TOO_LARGE_BYTES
}

/** How long windows may be now: halved by what the API cannot serve or serves too slowly, doubled after ten good ones. */
export class WindowLength {
  #value = LONGEST_WINDOW_MS
  #goodOnes = 0

  get value(): number {
    return this.#value
  }

  halve({ from, to }: Window): void {
    const half = floorToSecond((to - from) / 2)
    this.#value = Math.max(SHORTEST_WINDOW_MS, Math.min(this.#value, half))
    this.#goodOnes = 0
  }

  good(): void {
    this.#goodOnes += 1
    if (this.#goodOnes < GOOD_ONES_BEFORE_GROWTH) return
    this.#goodOnes = 0
    this.#value = Math.min(LONGEST_WINDOW_MS, this.#value * 2)
  }
}
