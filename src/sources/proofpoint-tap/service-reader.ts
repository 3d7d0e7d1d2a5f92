import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import type { CodeName } from '../../pipeline/codes.ts'
import type { Conditions } from '../../pipeline/conditions.ts'
import type { Counters } from '../../pipeline/counters.ts'
import type { ReadElsewhere, UnitsOptions } from '../../pipeline/source.ts'
import type { ServiceState, Unit } from '../../pipeline/unit.ts'
import type { TapClient } from './client.ts'
import type { Company } from './company.ts'
import type { TapInputConfig, TapServiceConfig } from './config.ts'
import { TapError, type FailureKind } from './errors.ts'
import { FingerprintTable } from './fingerprints.ts'
import { LIVE_EDGE_MS, Passes } from './passes.ts'
import type { Instant, Loss, Step } from './steps.ts'
import type { Place, Traveller } from './place.ts'
import { readWindow, type Failed, type ReadingContext, type Whole } from './read-window.ts'
import type { ServerTime } from './server-time.ts'
import { ServicePulls } from './service-pulls.ts'
import { ServiceWaits } from './service-waits.ts'
import { ownTarget } from './targets.ts'
import { TimeDoubts } from './time-doubts.ts'
import { unreadArrays } from './unread-arrays.ts'
import { WindowLog } from './window-log.ts'
import type { WindowRequest } from './window-request.ts'
import { floorToSecond, MINUTE_MS, SECOND_MS, SHORTEST_WINDOW_MS, writeWindow } from './windows.ts'

export interface ReaderDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly conditions: Conditions
  readonly counters: Counters
  readonly client: TapClient
  readonly time: ServerTime
  /** Those who may share requests with the service. */
  readonly company: Company
  /** The service's period, stretched where the quota asks for it. */
  readonly periodMs: number
  /** Jitter of the waits. */
  readonly random?: () => number
}

/** Between two tries of `once` to reach the end. */
const ONCE_AGAIN_MS = 30 * SECOND_MS
/** A service that is behind by more than this and two periods lets others go first. */
const CAUGHT_UP_MS = 10 * MINUTE_MS

/** Failures that may be the window's own, and those among them that a shorter window may avoid. */
const PIECE_AT_FAULT: ReadonlySet<FailureKind> = new Set(['broken', 'refused', 'too-short'])
const TOO_MUCH: ReadonlySet<FailureKind> = new Set(['broken', 'refused'])

/** Reads one service from one state on: pass after pass, as units. Its state belongs to one call of `units`. */
export class ServiceReader implements Traveller {
  readonly #input: TapInputConfig
  readonly #service: TapServiceConfig
  readonly #deps: ReaderDependencies
  readonly #log: Logger
  readonly #passes: Passes
  readonly #seen: FingerprintTable
  readonly #waits: ServiceWaits
  readonly #signal: AbortSignal
  readonly #once: boolean
  readonly #elsewhere: readonly ReadElsewhere[]
  readonly #pulls: ServicePulls
  readonly #doubts: TimeDoubts
  readonly #windowLog: WindowLog
  readonly #reading: ReadingContext
  #isLive = false
  /** The pass is one of several services. */
  #isShared = false
  /** A first start "from now on", whose now was the local clock's. */
  #isStartOpen: boolean
  readonly #startedAt: number

  constructor(
    input: TapInputConfig,
    service: TapServiceConfig,
    state: ServiceState,
    deps: ReaderDependencies,
    { signal, once, elsewhere = [] }: UnitsOptions,
  ) {
    this.#input = input
    this.#service = service
    this.#deps = deps
    this.#log = deps.log.child({ input: input.name, service: service.name })
    this.#signal = signal
    this.#once = once
    this.#elsewhere = elsewhere
    const { lookBackMs, sweepPeriodMs } = service
    this.#passes = new Passes({ periodMs: deps.periodMs, lookBackMs, sweepPeriodMs }, state, elsewhere.map(({ settled }) => settled))
    this.#seen = new FingerprintTable(state.seen)
    this.#waits = new ServiceWaits(`${input.name}/${service.name}`, { ...deps, log: this.#log }, deps.random)
    this.#waits.showHoles(this.#passes.holes)
    this.#pulls = new ServicePulls(input, service, { ...deps, log: this.#log })
    this.#windowLog = new WindowLog(this.#log, deps.clock)
    this.#reading = { pulls: this.#pulls, position: this.#passes, log: this.#windowLog, client: deps.client, signal }
    this.#isStartOpen = state.readAt === 0 && state.startTime === null
    this.#doubts = new TimeDoubts(deps.time, state.readAt === 0 ? -Infinity : state.settled)
    this.#startedAt = deps.clock.monotonic()
  }

  get name(): string {
    return this.#service.name
  }

  get mark(): number {
    return this.#passes.settled
  }

  get canShare(): boolean {
    return this.#passes.holes.every(({ to }) => to <= this.#passes.settled)
  }

  get isLive(): boolean {
    return this.#isLive
  }

  wantsFull(): boolean {
    return this.#passes.wantsFull(this.#instant())
  }

  startOf(isFull: boolean): number {
    return this.#passes.startOf(isFull)
  }

  async *units(): AsyncGenerator<Unit, void, undefined> {
    const place = this.#deps.company.join(this, this.#signal)
    let isDone = false
    try {
      yield* this.#passesOf(place)
      isDone = true
    } finally {
      place.leave(isDone)
    }
  }

  async *#passesOf(place: Place): AsyncGenerator<Unit, void, undefined> {
    const { clock, time, periodMs } = this.#deps
    let goal = time.isKnown && this.#doubts.areNone ? Passes.limit(time.now()) : null
    for (;;) {
      const { terms, isShared } = await place.gather()
      this.#isShared = isShared
      this.#passes.begin(this.#instant(), terms)
      this.#doubts.passBegins()
      yield* this.#pass(place)
      this.#pulls.end()
      const limit = Passes.limit(time.now())
      if (this.#doubts.areNone) goal ??= limit
      this.#isLive = this.#doubts.areNone && this.#passes.isReadUpTo(limit)
      const isReached = this.#doubts.areNone && this.#passes.isReadUpTo(this.#once ? Math.min(goal ?? limit, limit) : limit)
      if (isReached) this.#log.info('The data is up to date!')
      if (isReached && this.#once) return
      const waitMs = this.#once ? ONCE_AGAIN_MS : Math.max(0, this.#pulls.beganAt + periodMs - clock.monotonic())
      this.#pulls.completed(waitMs)
      await place.rest(waitMs)
      this.#pulls.begin()
    }
  }

  async *#pass(place: Place): AsyncGenerator<Unit, void, undefined> {
    for (;;) {
      this.#useKnownTime()
      const step = this.#passes.next(this.#instant())
      if (step === null) {
        if (!this.#doubts.areToBeCleared) return
        await this.#askTime()
      } else {
        const result = yield* readWindow(step, () => place.open(this.#requestFor(step)), this.#reading)
        if ('error' in result) {
          yield* this.#afterFailure(result)
        } else {
          yield this.#finish(result)
          this.#pulls.progressed()
        }
      }
    }
  }

  #requestFor(step: Step): WindowRequest {
    return {
      service: this.#service, signal: this.#signal, step, arraysOf: (window) => unreadArrays(this.#service.name, window, this.#elsewhere),
      isCaughtUp: this.#isCaughtUp(),
      freshest: () => this.#freshest(step),
      sent: () => this.#pulls.requested(),
      answered: () => ({ pull: this.#pulls.answered(), seen: this.#seen }),
      onWait: this.#onWait,
    }
  }

  #finish({ step, last, requestedAt, servedTo, isTooMuch }: Whole): Unit {
    const { window, kind } = step
    this.#doubts.servedTo(servedTo)
    this.#passes.served(step, { servedTo, requestedAt, isTooMuch, now: this.#instant() })
    this.#windowLog.read(step, servedTo, last?.events ?? 0)
    const hole = kind === 'probe' ? this.#passes.holes.findLast(({ to }) => to <= window.from) : undefined
    if (hole !== undefined) this.#windowLog.holeMade(hole, this.#isShared)
    if (kind !== 'read') this.#waits.showHoles(this.#passes.holes)
    this.#waits.isWell()
    const forgotten = this.#passes.forgettable(this.#seen.windows(), window)
    this.#seen.forget(forgotten)
    this.#windowLog.progress(servedTo, Passes.limit(this.#deps.time.now()) - servedTo)
    return this.#pulls.unit(window, last, this.#passes, forgotten)
  }

  async *#afterFailure({ step, error }: Failed): AsyncGenerator<Unit, void, undefined> {
    const now = this.#instant()
    const { kind, message } = error
    if (kind === 'login' && this.#once) throw error
    if (kind === 'too-old') {
      yield this.#giveUp(this.#passes.lossAt(step, now), message)
      return
    }
    if (kind === 'still-current') this.#passes.retreat()
    const isPieceAtFault = PIECE_AT_FAULT.has(kind)
    if (step.kind === 'hole' && isPieceAtFault) {
      this.#passes.failed(step, { isPieceAtFault, isTooMuch: true, reason: message, now })
      this.#windowLog.holeFailed(step.window, message)
      this.#waits.showHoles(this.#passes.holes)
      yield this.#pulls.unit(step.window, null, this.#passes)
      return
    }
    const isNextWorthTrying = this.#passes.failed(step, { isPieceAtFault, isTooMuch: TOO_MUCH.has(kind), reason: message, now })
    if (!isNextWorthTrying) await this.#waits.after(error, writeWindow(step.window), this.#signal)
  }

  #giveUp(loss: Loss, reason: string): Unit {
    const { window } = loss
    this.#passes.lost(loss, this.#instant())
    this.#waits.showHoles(this.#passes.holes)
    this.#windowLog.gap(window, reason)
    return this.#pulls.gapUnit(window, reason, this.#passes)
  }

  /** By the cautious clock nothing is due; the API may see that otherwise. Any of its answers tells the time. */
  async #askTime(): Promise<void> {
    const { client, time } = this.#deps
    const to = floorToSecond(time.now() - LIVE_EDGE_MS)
    const window = { from: to - SHORTEST_WINDOW_MS, to }
    try {
      const hasAsked = await this.#doubts.ask(async () => {
        this.#pulls.requested()
        const asking = { isCaughtUp: this.#isCaughtUp(), signal: this.#signal, isPatient: true, onWait: this.#onWait }
        const answer = await client.ask(ownTarget(this.#input, this.#service), () => window, asking)
        answer.release()
      })
      this.#signal.throwIfAborted()
      if (hasAsked) this.#waits.isWell()
    } catch (error) {
      this.#signal.throwIfAborted()
      if (!(error instanceof TapError) || (error.kind === 'login' && this.#once)) throw error
      await this.#waits.after(error, writeWindow(window), this.#signal)
    }
  }

  /** Mends what began by the local clock, which may have been ahead. */
  #useKnownTime(): void {
    const { clock, time } = this.#deps
    if (!time.isKnown) return
    this.#passes.timeIsKnown(this.#instant())
    if (!this.#isStartOpen || time.isDoubtful) return
    this.#isStartOpen = false
    this.#passes.beginNoLaterThan(time.now() - (clock.monotonic() - this.#startedAt), this.#instant())
  }

  /** The same step as it would be planned now: a request that had to wait may ask for more. */
  #freshest(step: Step): Step {
    const now = this.#passes.next(this.#instant())
    return now !== null && now.kind === step.kind && now.window.from === step.window.from ? now : step
  }

  readonly #onWait = (reason: string, code: CodeName): void => this.#waits.tell(reason, { code }, 'debug')

  #isCaughtUp(): boolean {
    const { time, periodMs } = this.#deps
    return time.now() - Math.max(this.#passes.furthest, this.#passes.settled + this.#service.lookBackMs) <= 2 * periodMs + CAUGHT_UP_MS
  }

  #instant(): Instant {
    const { time, clock } = this.#deps
    return { server: time.now(), isKnown: time.isKnown, local: clock.now(), monotonic: clock.monotonic() }
  }
}
