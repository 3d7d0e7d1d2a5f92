import type { Clock } from '../../pipeline/clock.ts'
import type { CodeName } from '../../pipeline/codes.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import type { Connection, PeerEnd, PeerWatcher } from './connection.ts'

export interface ProofRules {
  /** drain: the peer must end its side after ours. settle: our end is the proof, behind a longer silence. */
  readonly confirm: 'drain' | 'settle'
  /** How long the connection must stay open and silent between the last flushed byte and our end, milliseconds. */
  readonly silentMs: number
  /** How long the peer may take to end its side after ours, and to take more bytes while some are waiting, milliseconds. */
  readonly drainTimeoutMs: number
  /** This endpoint is known to end with a close_notify: an end without one is not its own. */
  readonly needsCloseNotify: boolean
  /** `address:port`, for messages. */
  readonly peer: string
  /** What the peer should be, for messages: `a Devo endpoint`. */
  readonly kind: string
  /** What a peer that leaves early may have refused, for messages: `our client certificate me.crt`. */
  readonly credential: string
}

/** The peer did not end in the way that was expected of it. Nothing may be sent again until an empty connection has ended well. */
export class PeerEndError extends RetryableError {
  override readonly name = 'PeerEndError'
}

export function noCloseNotify(peer: string): PeerEndError {
  return new PeerEndError(`${peer} ended without the close_notify that it has sent before: its end may not be its own`, { code: 'PeerEndChanged' })
}

/**
 * The connection is the acknowledgement: this link has no other. What was written is delivered when, in this order,
 * 1. every write has been flushed,
 * 2. the connection then stayed open and silent for `silentMs` (a peer that ends first has refused or lost the data, whatever it looks like),
 * 3. we ended our side: the order counts from the call of `end()`, not from when it took effect,
 * 4. the peer's end came after that, with a close_notify where the endpoint is known to send one,
 * 5. and both sides closed without any error.
 *
 *   writing ──conclude()──▶ flushing ──all flushed──▶ silent ──silentMs──▶ ending ──closed──▶ delivered
 *      └────── any error, any end or data of the peer, a time-out ──────────────┴──▶ void
 *
 * Data from the peer voids it at any time: no such peer ever sends any, so that something else must be answering there.
 */
export class Proof implements PeerWatcher {
  /** Resolves when everything written is delivered. Rejects as soon as it is not certain any more, also before `conclude()`. */
  readonly result: Promise<PeerEnd>
  /** Resolves when nothing of the connection is open any more. */
  readonly closedDown: Promise<unknown>
  #phase: 'writing' | 'flushing' | 'silent' | 'ending' | 'delivered' | 'void' = 'writing'
  #connection: Connection | null = null
  #unflushedBytes = 0
  #endedAt = 0
  #deliveredAt: number | null = null
  #peerEnding = false
  #cancelTimer: (() => void) | null = null
  readonly #rules: ProofRules
  readonly #clock: Clock
  readonly #result = Promise.withResolvers<PeerEnd>()
  readonly #closedDown = Promise.withResolvers<null>()

  constructor(rules: ProofRules, clock: Clock) {
    this.#rules = rules
    this.#clock = clock
    this.result = this.#result.promise
    this.closedDown = this.#closedDown.promise
    // It may be voided before anybody waits for it.
    this.result.catch(() => undefined)
  }

  /** From our end to now, or for a delivered shipment to the peer's end, milliseconds. */
  get endTookMs(): number {
    return (this.#deliveredAt ?? this.#clock.monotonic()) - this.#endedAt
  }

  get unflushedBytes(): number {
    return this.#unflushedBytes
  }

  /** Takes the connection that this proof watches. */
  begin(connection: Connection): void {
    this.#connection = connection
    if (this.#phase === 'void') connection.destroy()
  }

  /** `flushed` is not called after a failure. */
  write(bytes: Uint8Array, flushed: () => void): void {
    const connection = this.#connection
    if (this.#phase !== 'writing' || connection === null) return
    if (this.#unflushedBytes === 0) this.#watchProgress(connection)
    this.#unflushedBytes += bytes.length
    connection.write(bytes, () => {
      if (this.#phase !== 'writing' && this.#phase !== 'flushing') return
      this.#unflushedBytes -= bytes.length
      if (this.#unflushedBytes === 0) this.#flushed()
      flushed()
    })
  }

  /** Nothing more will be written: waits for the proof. See `result`. */
  conclude(): void {
    if (this.#phase !== 'writing') return
    this.#phase = 'flushing'
    if (this.#unflushedBytes === 0) this.#flushed()
  }

  /** Gives up: closes the connection and rejects with the error. After the delivery it changes nothing. */
  abandon(error: Error): void {
    if (this.#phase === 'delivered' || this.#phase === 'void') return
    this.#phase = 'void'
    this.#setTimer(null)
    this.#connection?.destroy()
    this.#result.reject(error)
  }

  /** Closes whatever is still open; for an owner that never got as far as a connection, too. */
  async release(reason: Error): Promise<void> {
    this.abandon(reason)
    if (this.#connection !== null) await this.closedDown
  }

  peerEnding(): void {
    if (this.#phase !== 'ending') this.#peerEnding = true
  }

  peerEnded(): void {
    // In phase 'ending' that is the expected end, unless its first sign was earlier than our own end.
    if (this.#phase !== 'ending' || this.#peerEnding) this.#failEndedFirst()
  }

  peerSent(bytes: number): void {
    this.#fail(`sent ${bytes} bytes, which ${this.#rules.kind} never does: something else answers there`, 'PeerAnswered')
  }

  failed(error: Error): void {
    this.abandon(error)
  }

  closed(end: PeerEnd | null): void {
    this.#closedDown.resolve(null)
    if (this.#phase === 'delivered' || this.#phase === 'void') return
    if (this.#phase !== 'ending' || this.#peerEnding) {
      this.#failEndedFirst()
    } else if (end === null) {
      this.#fail('closed the connection in the middle of its end', 'PeerReset')
    } else if (this.#rules.needsCloseNotify && !end.closeNotify) {
      this.abandon(noCloseNotify(this.#rules.peer))
    } else {
      this.#deliver(end)
    }
  }

  #flushed(): void {
    this.#setTimer(null)
    if (this.#phase !== 'flushing') return
    this.#phase = 'silent'
    this.#setTimer(this.#clock.after(this.#rules.silentMs, () => this.#silenceKept()))
  }

  #silenceKept(): void {
    this.#setTimer(null)
    // A timer of a late event loop runs before the peer's end is read that has been lying there for long.
    this.#connection?.afterArrivals(() => {
      if (this.#phase !== 'silent') return
      if (this.#peerEnding) this.#failEndedFirst()
      else this.#end()
    })
  }

  #end(): void {
    this.#phase = 'ending'
    this.#endedAt = this.#clock.monotonic()
    const { confirm, drainTimeoutMs, peer } = this.#rules
    this.#setTimer(this.#clock.after(drainTimeoutMs, () => {
      const seconds = drainTimeoutMs / 1000
      this.abandon(new PeerEndError(
        `${peer} did not end its side within ${seconds} s after ours, so that delivery cannot be proven; ` +
        'for an endpoint that never does, set confirm: settle',
        { code: 'PeerDoesNotEnd' },
      ))
    }))
    this.#connection?.end(() => {
      if (confirm === 'settle' && this.#phase === 'ending') this.#deliver({ closeNotify: false })
    })
  }

  #deliver(end: PeerEnd): void {
    this.#phase = 'delivered'
    this.#deliveredAt = this.#clock.monotonic()
    this.#setTimer(null)
    this.#connection?.destroy()
    this.#result.resolve(end)
  }

  /** Fails when not one byte has gone in the time: a peer that takes nothing more would else be waited for until TCP gives up. */
  #watchProgress(connection: Connection): void {
    const before = connection.bytesFlushed
    this.#setTimer(this.#clock.after(this.#rules.drainTimeoutMs, () => {
      if (connection.bytesFlushed !== before) this.#watchProgress(connection)
      else this.#fail(`has taken nothing for ${this.#rules.drainTimeoutMs / 1000} s`, 'PeerStalled')
    }))
  }

  #failEndedFirst(): void {
    this.#fail(`ended the connection before we ended our side: it has refused ${this.#rules.credential}, or it has lost what was sent`, 'PeerEndedFirst')
  }

  #fail(what: string, code: CodeName): void {
    this.abandon(new RetryableError(`${this.#rules.peer} ${what}`, { code }))
  }

  #setTimer(cancel: (() => void) | null): void {
    this.#cancelTimer?.()
    this.#cancelTimer = cancel
  }
}
