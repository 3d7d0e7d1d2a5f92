import type { Random } from './tap-random.ts'
import type { TapWindow } from './tap-interval.ts'

/** Which requests a fault meets; whatever is left out does not narrow it. */
export interface FaultScope {
  /** After so many requests it is over; left out: it stays until it is removed. */
  readonly times?: number
  /** Only this endpoint, such as `/v2/siem/all`, and what lies below it. */
  readonly path?: string
  /** Only windows that contain the minute which begins here (epoch milliseconds): a hole in the API. */
  readonly minute?: number
  /** Only while the server's clock is in [from, until). */
  readonly from?: number
  readonly until?: number
  /** Only this share of the requests, drawn from the seed. */
  readonly probability?: number
}

/** What the answer becomes. The request is counted and logged all the same. */
export type AnswerFault =
  /** Any status with a plain text; `retryAfter` is sent as it is. */
  | { readonly kind: 'status'; readonly status: number; readonly body?: string; readonly retryAfter?: string | number }
  /** A page of HTML with status 200, as a proxy or a captive portal sends it. */
  | { readonly kind: 'html' }
  /** Status 200, nothing in it. */
  | { readonly kind: 'empty' }
  /** The event arrays are left out of the envelope, or hold this JSON text in their place. */
  | { readonly kind: 'missing-array' }
  | { readonly kind: 'array'; readonly text: string }
  /** Bytes after the end of the JSON. */
  | { readonly kind: 'trailing'; readonly text: string }
  /** 500 where the window holds more events than this. */
  | { readonly kind: 'too-many'; readonly maxEvents: number }
  /** More headers, or others: `{age: '60'}`. */
  | { readonly kind: 'headers'; readonly headers: Readonly<Record<string, string>> }
  /** `queryEndTime` is earlier than asked by so much, and later events are not in the answer. */
  | { readonly kind: 'query-end'; readonly lagMs: number }

/**
 * What happens to the bytes of the answer on their way; whoever carries the answer enacts it. `afterBytes` counts encoded bytes (behind gzip);
 * above 0 and below 1 it is a share of the body.
 */
export type TransportFault =
  /**
   * The body ends too early. How it ends: with a content-length that promises more; chunked without its last chunk; closed without either
   * (HTTP alone shows no error); or properly ended, so that only the JSON is incomplete.
   */
  | { readonly kind: 'truncate'; readonly afterBytes: number; readonly framing: 'length' | 'chunked' | 'close' | 'ended' }
  | { readonly kind: 'reset'; readonly afterBytes: number }
  /** Nothing more comes, and the connection stays open. `null`: not even the status line. */
  | { readonly kind: 'stall'; readonly afterBytes: number | null }
  | { readonly kind: 'drip'; readonly bytes: number; readonly everyMs: number }

export type TapFault = (AnswerFault | TransportFault) & FaultScope

export function isTransportFault(fault: TapFault): fault is TransportFault & FaultScope {
  return fault.kind === 'truncate' || fault.kind === 'reset' || fault.kind === 'stall' || fault.kind === 'drip'
}

/** The faults that are on. All that match a request apply to it, in the order in which they were set. */
export class TapFaults {
  #active: { readonly fault: TapFault; left: number; met: number }[] = []
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  /** Returns a function that takes it back. */
  set(fault: TapFault): () => void {
    const entry = { fault, left: fault.times ?? Infinity, met: 0 }
    this.#active.push(entry)
    return () => {
      this.#active = this.#active.filter((other) => other !== entry)
    }
  }

  clear(): void {
    this.#active = []
  }

  list(): { readonly fault: TapFault; readonly met: number }[] {
    return this.#active.map(({ fault, met }) => ({ fault, met }))
  }

  /** The faults that this request meets; each is counted down. */
  meet(request: { readonly path: string; readonly window: TapWindow | null; readonly now: number; readonly events: number }): TapFault[] {
    const met = this.#active.filter(({ fault }) => this.#matches(fault, request))
    for (const entry of met) {
      entry.left -= 1
      entry.met += 1
    }
    this.#active = this.#active.filter((entry) => entry.left > 0)
    return met.map(({ fault }) => fault)
  }

  #matches(fault: TapFault, { path, window, now, events }: Parameters<TapFaults['meet']>[0]): boolean {
    if (fault.path !== undefined && fault.path !== path && !path.startsWith(`${fault.path}/`)) return false
    if (fault.from !== undefined && now < fault.from) return false
    if (fault.until !== undefined && now >= fault.until) return false
    if (fault.kind === 'too-many' && events <= fault.maxEvents) return false
    if (fault.minute !== undefined) {
      if (window === null || window.to <= fault.minute || window.from >= fault.minute + 60_000) return false
    }
    return fault.probability === undefined || this.#random.chance(fault.probability)
  }
}
