import type { Clock } from '../pipeline/clock.ts'
import { explainKafkaError, GroupLostError, isRebalance } from './errors.ts'
import type { GroupOffset } from './group-offsets.ts'

/** What a member holds in one generation of its group. */
export interface Assignment {
  /** May be empty: then the member stands by. */
  readonly partitions: readonly number[]
  readonly generation: number
  /** Aborts when the group changes: finish and commit what is in flight, release, and join again. */
  readonly ending: AbortSignal
  /** Aborts when the partitions belong to another, or are about to: give up. Implies `ending`. */
  readonly lost: AbortSignal
  /** By partition; null where the group has committed nothing. Throws RetryableError while the broker is away. */
  committed(): Promise<ReadonlyMap<number, GroupOffset | null>>
  /** Throws GroupLostError where the generation is over, RetryableError while the broker is away (it may have been kept all the same). */
  commit(offsets: ReadonlyMap<number, GroupOffset>): Promise<void>
  /** Stops the heartbeats; safe at any time, also twice. The group waits for the next `join` or `close`. */
  release(): Promise<void>
}

interface HeldAssignmentOptions {
  readonly groupId: string
  readonly partitions: readonly number[]
  readonly generation: number
  readonly clock: Clock
  readonly sessionTimeoutMs: number
  /** How long the holder may take to end what is in flight. */
  readonly endingMs: number
  readonly beat: () => Promise<unknown>
  readonly fetch: () => Promise<ReadonlyMap<number, GroupOffset | null>>
  readonly commit: (offsets: ReadonlyMap<number, GroupOffset>) => Promise<unknown>
  readonly onLost: (reason: string) => void
}

const HEARTBEAT_MS = 3_000
/** After one that failed: the session runs out meanwhile. */
const FAILED_HEARTBEAT_MS = 500

/**
 * Kept alive by heartbeats that do not depend on what its holder does.
 *
 *   held ──group changes──▶ ending ──release──▶ over
 *     └──expelled, no answer within the session time-out, or ending took too long──▶ lost
 */
export class HeldAssignment implements Assignment {
  readonly partitions: readonly number[]
  readonly generation: number
  readonly #options: HeldAssignmentOptions
  readonly #ending = new AbortController()
  readonly #lost = new AbortController()
  #cancelBeat: () => void = doNothing
  #cancelExpiry: () => void = doNothing
  #cancelEnding: () => void = doNothing
  #released = false

  /** The caller owes a call of `release`. */
  constructor(options: HeldAssignmentOptions) {
    this.#options = options
    this.partitions = options.partitions
    this.generation = options.generation
    this.#heard(options.clock.monotonic())
    this.#beatAfter(this.#heartbeatMs)
  }

  get ending(): AbortSignal {
    return this.#ending.signal
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  async committed(): Promise<ReadonlyMap<number, GroupOffset | null>> {
    try {
      return await this.#options.fetch()
    } catch (error) {
      throw explainKafkaError(error, `asking how far ${this.#options.groupId} is`)
    }
  }

  async commit(offsets: ReadonlyMap<number, GroupOffset>): Promise<void> {
    this.#lost.signal.throwIfAborted()
    if (this.#released) throw new GroupLostError(`the share of ${this.#options.groupId} was given back`)
    if (offsets.size === 0) return
    const sentAt = this.#options.clock.monotonic()
    try {
      await this.#options.commit(offsets)
      // To the broker a commit is as good as a heartbeat.
      this.#heard(sentAt)
    } catch (error) {
      this.#noteGroup(error)
      throw explainKafkaError(error, `committing how far ${this.#options.groupId} is`)
    }
  }

  async release(): Promise<void> {
    this.#released = true
    this.#stopTimers()
  }

  get #heartbeatMs(): number {
    return Math.min(HEARTBEAT_MS, this.#options.sessionTimeoutMs / 3)
  }

  get #isOver(): boolean {
    return this.#released || this.#lost.signal.aborted
  }

  #beatAfter(ms: number): void {
    if (this.#isOver) return
    this.#cancelBeat = this.#options.clock.after(ms, () => void this.#beat())
  }

  /** Never rejects. */
  async #beat(): Promise<void> {
    const sentAt = this.#options.clock.monotonic()
    try {
      await this.#options.beat()
      this.#heard(sentAt)
    } catch (error) {
      this.#noteGroup(error)
      if (!isRebalance(error)) {
        this.#beatAfter(FAILED_HEARTBEAT_MS)
        return
      }
      this.#heard(sentAt)
    }
    this.#beatAfter(this.#heartbeatMs)
  }

  /** The broker counts from when it hears of us, which is after `sentAt`: here the session is over first. */
  #heard(sentAt: number): void {
    const { clock, sessionTimeoutMs } = this.#options
    this.#cancelExpiry()
    if (this.#isOver) return
    const remainingMs = sessionTimeoutMs - (clock.monotonic() - sentAt)
    this.#cancelExpiry = clock.after(remainingMs, () => this.#lose(`no answer from the broker for ${sessionTimeoutMs / 1000} s`))
  }

  #noteGroup(error: unknown): void {
    if (isRebalance(error)) this.#end()
    else if (explainKafkaError(error, '') instanceof GroupLostError) this.#lose('the group has gone on without it')
  }

  #end(): void {
    if (this.#isOver || this.#ending.signal.aborted) return
    this.#cancelEnding = this.#options.clock.after(this.#options.endingMs, () => this.#lose('what was in flight took too long'))
    this.#ending.abort(new GroupLostError(`the group ${this.#options.groupId} changes`))
  }

  #lose(reason: string): void {
    if (this.#isOver) return
    const error = new GroupLostError(`the share of ${this.#options.groupId} is lost: ${reason}`)
    this.#stopTimers()
    this.#options.onLost(reason)
    this.#lost.abort(error)
    this.#ending.abort(error)
  }

  #stopTimers(): void {
    this.#cancelBeat()
    this.#cancelExpiry()
    this.#cancelEnding()
  }
}

function doNothing(): void {
  // no timer runs yet
}
