import PQueue from 'p-queue'
import type { Logger } from 'pino'
import { retryAfter } from '../../https/answers.ts'
import { Backoff } from '../../pipeline/backoff.ts'
import type { Clock } from '../../pipeline/clock.ts'
import type { CodeName } from '../../pipeline/codes.ts'
import { codeOf, describeError, RetryableError } from '../../pipeline/errors.ts'
import type { QuotaLog } from '../../pipeline/source.ts'
import { TapError } from './errors.ts'
import type { HttpResponse } from './http.ts'
import type { PassRules } from './steps.ts'
import { describeLimits, minuteOf, QuotaUse } from './quotas.ts'
import { expectedRequests } from './stretch.ts'
import { DAY_MS, MINUTE_MS, SECOND_MS, writeTime } from './windows.ts'

/** Why no request is sent now. */
interface Closing {
  readonly code: CodeName
  readonly reason: string
}

export interface Asking {
  /** Who asks: a name that `join` has made known. */
  readonly member: string
  /** Whoever has caught up goes first where requests are scarce, and those who are behind leave enough for it. */
  readonly isCaughtUp: boolean
  readonly signal: AbortSignal
  /** False: fail with a `throttled` TapError instead of waiting for requests to be left. */
  readonly isPatient: boolean
  /** Called with the reason and its code whenever the request has to wait. */
  readonly onWait: (reason: string, code: CodeName) => void
}

export interface PoolDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly quotaLog: QuotaLog
  /** Jitter of the waits. */
  readonly random?: () => number
}

const CONCURRENCY = 4
/** From this throttled answer in a row on, a Retry-After that is too short is not believed. */
const DISBELIEVE_AFTER = 4
/** So many requests left end the time in which running out of them is no news; with fewer the log is read before each request. */
const PLENTY = 50
/** Other processes write into the log as well. */
const READ_LOG_AGAIN_MS = MINUTE_MS
/** Those who are behind may use this share of a limit in any case. */
const SHARE_TO_CATCH_UP = 0.25
const AGAIN = Symbol('not now')
const LATER = Symbol('others go first')

/**
 * The requests that one credential may send to one of the API's throttles. Everybody who shares it waits here: for the quota, which is
 * counted durably before a request is sent, and for the end of a 429.
 *
 *   open ──429──▶ closed (Retry-After, else 1, 2, 4 ... 30 min) ──▶ probing: one request at a time ──any other answer──▶ open
 *     └──no request left──▶ closed (until the oldest minute leaves the period) ──▶ open             └──429──▶ closed
 */
export class RequestPool {
  /** Names the pool in the quota log; holds no secret. */
  readonly key: string
  readonly use = new QuotaUse()
  readonly #label: string
  /** Only the requests of those who were behind. */
  readonly #catchingUp = new QuotaUse()
  readonly #members = new Map<string, { readonly rules: PassRules; isCaughtUp: boolean }>()
  readonly #deps: PoolDependencies
  readonly #queue = new PQueue({ concurrency: CONCURRENCY })
  readonly #waiting = new Set<Asking>()
  readonly #throttling = new Backoff(MINUTE_MS, 30 * MINUTE_MS, () => 1)
  /** When the log was read last, by the monotonic clock. */
  #loadedAt = -Infinity
  /** The end of what is being done to the log: one thing at a time. */
  #logging: Promise<unknown> = Promise.resolve()
  #isScarce = false
  #closedBecause: Closing | null = null
  #reopensAt = 0
  #cancelReopen = (): void => undefined
  /** Counts the throttled answers, so that those to requests sent before the last one are told apart. */
  #era = 0

  constructor(key: string, label: string, deps: PoolDependencies) {
    this.key = key
    this.#label = label
    this.#deps = deps
  }

  /** Makes a service known that sends its requests here. */
  join(member: string, rules: PassRules): void {
    this.#members.set(member, { rules, isCaughtUp: false })
  }

  /** Look at the log again before the next request, for what other processes have used meanwhile. */
  refresh(): void {
    this.#loadedAt = -Infinity
  }

  /** Sends a request as soon as one may be sent. Rejects with what `request` rejects with, or with the signal's reason. */
  async send(request: () => Promise<HttpResponse>, asking: Asking): Promise<HttpResponse> {
    this.#waiting.add(asking)
    try {
      for (;;) {
        if (this.#closedBecause !== null) this.#tell(asking, this.#closedBecause.reason, this.#closedBecause.code)
        const options = { priority: asking.isCaughtUp ? 1 : 0, signal: asking.signal }
        const outcome = await this.#queue.add(() => this.#attempt(request, asking), options)
        if (outcome === LATER) {
          this.#tell(asking, `catching up leaves the requests of pool ${this.#label} to the services that have caught up`, 'QuotaUsedUp')
          await this.#deps.clock.sleep(MINUTE_MS, asking.signal)
        } else if (outcome !== AGAIN) {
          return outcome
        }
      }
    } finally {
      this.#waiting.delete(asking)
    }
  }

  close(): void {
    this.#cancelReopen()
    this.#queue.clear()
  }

  async #attempt(request: () => Promise<HttpResponse>, asking: Asking): Promise<HttpResponse | typeof AGAIN | typeof LATER> {
    if (this.#isClosed()) return AGAIN
    if (this.#mayLogBeStale()) await this.#load(asking)
    if (this.#isClosed()) return AGAIN
    const now = this.#deps.clock.now()
    const member = this.#members.get(asking.member)
    if (member !== undefined) member.isCaughtUp = asking.isCaughtUp
    if (!asking.isCaughtUp && !this.#leavesEnough(now)) return LATER
    if (!this.use.reserve(now)) {
      this.#exhausted(now)
      return AGAIN
    }
    if ((this.use.remaining(now) ?? Infinity) >= PLENTY) this.#isScarce = false
    if (!asking.isCaughtUp) this.#catchingUp.reserve(now)
    if (!(await this.#count(now, asking))) {
      if (!asking.isCaughtUp) this.#catchingUp.giveBack(now)
      return AGAIN
    }
    asking.signal.throwIfAborted()
    const era = this.#era
    const response = await request()
    if (response.status === 429) {
      response.body.destroy()
      if (era === this.#era) this.#throttled(response)
      return AGAIN
    }
    if (era === this.#era) this.#answered()
    return response
  }

  /** Whether one more request of a service that is behind leaves what the others need in every limit's period. */
  #leavesEnough(now: number): boolean {
    const caughtUp = [...this.#members.values()].filter(({ isCaughtUp }) => isCaughtUp)
    return this.use.limits.every(({ periodMs, requests }) => {
      const needed = caughtUp.reduce((sum, { rules }) => sum + expectedRequests(rules, periodMs), 0)
      return this.#catchingUp.used(periodMs, now) < Math.max(requests - needed, requests * SHARE_TO_CATCH_UP)
    })
  }

  #isClosed(): boolean {
    return this.#closedBecause !== null
  }

  #mayLogBeStale(): boolean {
    const { clock } = this.#deps
    return clock.monotonic() - this.#loadedAt >= READ_LOG_AGAIN_MS || (this.use.remaining(clock.now()) ?? Infinity) < PLENTY
  }

  async #load(asking: Asking): Promise<void> {
    await this.#insist('reading', asking, async () => {
      this.use.load(await this.#deps.quotaLog.load(this.key))
      this.#loadedAt = this.#deps.clock.monotonic()
    })
  }

  /** False: other processes have used up what was left. */
  async #count(reservedAt: number, asking: Asking): Promise<boolean> {
    let at = reservedAt
    const isCounted = await this.#insist('writing', asking, async () => {
      const now = this.#deps.clock.now()
      this.use.move(at, now)
      at = now
      const isTaken = await this.#deps.quotaLog.count(this.key, minuteOf(now), this.use.forgetBefore(now), this.use.minuteLimits(now))
      if (isTaken) this.use.written(now)
      return isTaken
    })
    if (isCounted) return true
    this.use.giveBack(at)
    this.refresh()
    return false
  }

  /** No request is sent that is not in the log. */
  async #insist<Result>(what: string, asking: Asking, work: () => Promise<Result>): Promise<Result> {
    const backoff = new Backoff(SECOND_MS, MINUTE_MS, this.#deps.random)
    for (;;) {
      asking.signal.throwIfAborted()
      try {
        const done = this.#logging.then(work)
        this.#logging = done.catch(() => undefined)
        return await done
      } catch (error) {
        if (!(error instanceof RetryableError)) throw error
        const reason = `${what} the log of requests failed, so none is sent: ${describeError(error)}`
        this.#deps.log[backoff.failures === 0 ? 'warn' : 'debug']({ code: 'QuotaLogFailed', pool: this.#label, err: error }, reason)
        this.#tell(asking, reason, codeOf(error) ?? 'QuotaLogFailed')
        await this.#deps.clock.sleep(backoff.next(), asking.signal)
      }
    }
  }

  #tell(asking: Asking, reason: string, code: CodeName): void {
    if (!asking.isPatient) throw new TapError('throttled', reason, { code })
    asking.onWait(reason, code)
  }

  #exhausted(now: number): void {
    const until = this.use.freeAt(now)
    const limits = describeLimits(this.use.limits)
    this.#close(until - now, { code: 'QuotaUsedUp', reason: `no request left in pool ${this.#label} (${limits}): the next one at ${writeTime(until)}` }, !this.#isScarce)
    this.#isScarce = true
  }

  #throttled({ headers }: HttpResponse): void {
    this.#era += 1
    const own = this.#throttling.next()
    const named = retryAfter(headers)
    const isCredible = named !== null && (this.#throttling.failures < DISBELIEVE_AFTER || named > own)
    const waitMs = isCredible ? Math.min(Math.max(named, SECOND_MS), DAY_MS) : own
    this.#queue.concurrency = 1
    const reason = `the API throttles pool ${this.#label} (429); another program may use the same credential: the next try at ${writeTime(this.#deps.clock.now() + waitMs)}`
    this.#close(waitMs, { code: 'ApiThrottled', reason }, this.#throttling.failures === 1)
  }

  #answered(): void {
    this.#throttling.reset()
    this.#queue.concurrency = CONCURRENCY
  }

  #close(waitMs: number, because: Closing, isNews: boolean): void {
    const { clock, log } = this.#deps
    const reopensAt = clock.monotonic() + waitMs
    if (this.#closedBecause !== null && reopensAt <= this.#reopensAt) return
    this.#reopensAt = reopensAt
    this.#closedBecause = because
    this.#queue.pause()
    this.#cancelReopen()
    this.#cancelReopen = clock.after(waitMs, () => {
      this.#closedBecause = null
      this.#queue.start()
    })
    log[isNews ? 'warn' : 'debug']({ code: because.code, pool: this.#label }, because.reason)
    for (const asking of this.#waiting) if (asking.isPatient) asking.onWait(because.reason, because.code)
  }
}
