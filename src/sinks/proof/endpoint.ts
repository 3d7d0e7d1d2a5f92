import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import type { PeerConfig } from './config.ts'
import type { Connect } from './connection.ts'
import { noCloseNotify, PeerEndError, Proof, type ProofRules } from './proof.ts'

/** Measured: 1 to 10 ms on loopback; the rest is for the way there and back and for a receiver that is busy. */
const PROMPT_END_MS = 500
/** A dying peer ends one probe with a bare FIN by chance; so many in a row are an endpoint that was exchanged for one that always does. */
const PROBES_TO_BELIEVE_A_CHANGE = 5

/** How messages call the peer and what it may refuse, see `ProofRules`. */
export type EndpointNames = Pick<ProofRules, 'kind' | 'credential'>

/**
 * One remote end: what is known of it, and its proofs in flight.
 *
 * An empty connection that is kept silent for longer, the *probe*, must have ended well before the first event leaves, and again after an
 * end that was not as expected. It shows what a quick shipment would not (a refused certificate, a terminator without its backend), and whether
 * the endpoint ends with a close_notify; once it has, that is demanded of every end, until several probes in a row have ended well but for that.
 */
export class Endpoint {
  readonly #config: PeerConfig
  readonly #names: EndpointNames
  readonly #connect: Connect
  readonly #clock: Clock
  readonly #log: Logger
  readonly #proofs = new Set<Proof>()
  readonly #opening = new Set<Promise<unknown>>()
  readonly #closing = new AbortController()
  #probe: Promise<void> | null = null
  #proven = false
  #sendsCloseNotify = false
  /** Probes in a row that ended well, but without the close_notify that the endpoint has sent before. */
  #bareEnds = 0

  constructor(config: PeerConfig, { kind, credential }: EndpointNames, connect: Connect, clock: Clock, log: Logger) {
    this.#config = config
    this.#names = { kind, credential }
    this.#connect = connect
    this.#clock = clock
    this.#log = log
  }

  /** Begins the probe that the first shipment will wait for. Its failure is only logged: that shipment begins another one. */
  warmUp(): void {
    this.#sharedProbe().catch((err: unknown) => {
      if (!this.#closing.signal.aborted) this.#log.warn({ code: 'OutputUnreachable', err }, 'the endpoint cannot take events yet')
    })
  }

  /** Proves that the endpoint accepts us, with no event. A probe that is under way counts. Rejects with what is wrong. */
  async check(signal: AbortSignal): Promise<void> {
    await abortable(this.#sharedProbe(), signal)
  }

  /** A connection for one shipment. Rejects with the error of the probe that it had to wait for, of the connection, or the signal's reason. */
  async open(signal: AbortSignal): Promise<Proof> {
    if (!this.#proven) await abortable(this.#sharedProbe(), signal)
    const { confirm, quietMs, settleMs } = this.#config
    const proof = await this.#newProof(confirm === 'drain' ? quietMs : settleMs, this.#sendsCloseNotify, signal)
    proof.result.catch((error: unknown) => {
      if (error instanceof PeerEndError) this.#proven = false
    })
    return proof
  }

  /**
   * The verdict on a shipment that was concluded. A peer that has its own receiver ends within milliseconds of our end. One that takes long may be
   * a terminator that still waits for a backend that died after the probe: HAProxy holds everything for 3 s and then ends as if all were
   * well. So a late end counts only once a new probe has passed.
   */
  async delivered(proof: Proof): Promise<void> {
    await proof.result
    const tookMs = proof.endTookMs
    if (this.#config.confirm !== 'drain' || tookMs <= PROMPT_END_MS) return
    this.#log.debug({ tookMs: Math.round(tookMs) }, 'the endpoint ended late: a new probe decides whether it counts')
    // One that is under way began before that end.
    await this.#probe?.catch(() => undefined)
    try {
      await this.#sharedProbe()
    } catch (error) {
      throw new RetryableError(`${this.#peer} ended its side late, and then did not pass a probe: it may have lost what was sent`, { code: 'PeerEndedLate', cause: error })
    }
  }

  /** Open proofs fail. Resolves when no connection is left. */
  async close(reason: Error): Promise<void> {
    this.#closing.abort(reason)
    // Whatever was being opened has by then failed or become a proof.
    await Promise.allSettled(this.#opening)
    await Promise.all([...this.#proofs].map((proof) => proof.release(reason)))
    await this.#probe?.catch(() => undefined)
  }

  #sharedProbe(): Promise<void> {
    this.#probe ??= this.#runProbe().finally(() => (this.#probe = null))
    return this.#probe
  }

  async #runProbe(): Promise<void> {
    this.#proven = false
    const bareEnds = this.#bareEnds
    // A probe that fails in any other way begins the row anew.
    this.#bareEnds = 0
    const proof = await this.#newProof(this.#config.probeMs, false, this.#closing.signal)
    proof.conclude()
    const { closeNotify } = await proof.result
    this.#learn(closeNotify, bareEnds + 1)
    this.#proven = true
  }

  /** Throws PeerEndError where the end may not be the endpoint's own. */
  #learn(closeNotify: boolean, bareEnds: number): void {
    if (closeNotify === this.#sendsCloseNotify) return
    if (closeNotify) {
      this.#log.debug('the endpoint ends with close_notify: from now on it must')
    } else if (bareEnds < PROBES_TO_BELIEVE_A_CHANGE) {
      this.#bareEnds = bareEnds
      throw noCloseNotify(this.#peer)
    } else {
      this.#log.warn({ code: 'PeerEndChanged' }, `${this.#peer} no longer ends with the close_notify that it has sent before, ${bareEnds} times in a row: it counts as another endpoint, and is believed without`)
    }
    this.#sendsCloseNotify = closeNotify
  }

  get #peer(): string {
    return `${this.#config.address}:${this.#config.port}`
  }

  async #newProof(silentMs: number, needsCloseNotify: boolean, signal: AbortSignal): Promise<Proof> {
    this.#closing.signal.throwIfAborted()
    const { confirm, drainTimeoutMs } = this.#config
    const rules: ProofRules = { ...this.#names, confirm, silentMs, drainTimeoutMs, needsCloseNotify, peer: this.#peer }
    const proof = new Proof(rules, this.#clock)
    const opening = this.#connect(proof, signal)
    this.#opening.add(opening)
    try {
      proof.begin(await opening)
    } finally {
      this.#opening.delete(opening)
    }
    this.#proofs.add(proof)
    void proof.closedDown.then(() => this.#proofs.delete(proof))
    return proof
  }
}

/** Waits for the promise, or until the signal aborts; the work behind it goes on. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // It may fail with nobody left who waits for it.
  work.catch(() => undefined)
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort)
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
