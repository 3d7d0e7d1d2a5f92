import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import type { Conditions } from '../../pipeline/conditions.ts'
import type { Counters } from '../../pipeline/counters.ts'
import type { ServiceState, Unit, Window } from '../../pipeline/unit.ts'
import type { TapClient } from './client.ts'
import type { TapInputConfig, TapServiceConfig } from './config.ts'
import { TapError, type FailureKind } from './errors.ts'
import { FingerprintTable } from './fingerprints.ts'
import { LIVE_EDGE_MS, Passes, type Instant, type Loss, type Step } from './passes.ts'
import type { Asking } from './pool.ts'
import type { ResponsePart } from './response.ts'
import type { ServerTime } from './server-time.ts'
import { ServicePulls } from './service-pulls.ts'
import { ServiceWaits } from './service-waits.ts'
import { TAP_SERVICES } from './services.ts'
import { TimeDoubts } from './time-doubts.ts'
import { WindowReading } from './window-reading.ts'
import { floorToSecond, HOUR_MS, MINUTE_MS, SECOND_MS, SHORTEST_WINDOW_MS, writeTime, writeWindow } from './windows.ts'

export interface ReaderDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly conditions: Conditions
  readonly counters: Counters
  readonly client: TapClient
  readonly time: ServerTime
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

interface Whole {
  readonly step: Step
  readonly last: ResponsePart | null
  readonly requestedAt: number
  readonly servedTo: number
  readonly tookMs: number
}

interface Failed {
  readonly step: Step
  readonly error: TapError
}

/** Reads one service from one state on: pass after pass, as units. Its state belongs to one call of `units`. */
export class ServiceReader {
  readonly #service: TapServiceConfig
  readonly #deps: ReaderDependencies
  readonly #log: Logger
  readonly #passes: Passes
  readonly #seen: FingerprintTable
  readonly #waits: ServiceWaits
  readonly #signal: AbortSignal
  readonly #once: boolean
  readonly #pulls: ServicePulls
  readonly #doubts: TimeDoubts
  /** A first start "from now on", whose now was the local clock's. */
  #isStartOpen: boolean
  readonly #startedAt: number
  #toldAt = 0

  constructor(
    input: TapInputConfig,
    service: TapServiceConfig,
    state: ServiceState,
    deps: ReaderDependencies,
    { signal, once }: { readonly signal: AbortSignal; readonly once: boolean },
  ) {
    this.#service = service
    this.#deps = deps
    this.#log = deps.log.child({ input: input.name, service: service.name })
    this.#signal = signal
    this.#once = once
    const { lookBackMs, sweepPeriodMs } = service
    this.#passes = new Passes({ periodMs: deps.periodMs, lookBackMs, sweepPeriodMs }, state)
    this.#seen = new FingerprintTable(state.seen)
    this.#waits = new ServiceWaits(`${input.name}/${service.name}`, { ...deps, log: this.#log }, deps.random)
    this.#waits.showHoles(this.#passes.holes)
    this.#pulls = new ServicePulls(input, service, { ...deps, log: this.#log })
    this.#toldAt = this.#pulls.beganAt
    this.#isStartOpen = state.readAt === 0 && state.startTime === null
    this.#doubts = new TimeDoubts(deps.time, state.readAt === 0 ? -Infinity : state.settled)
    this.#startedAt = deps.clock.monotonic()
  }

  async *units(): AsyncGenerator<Unit, void, undefined> {
    const { clock, time, periodMs } = this.#deps
    let goal = time.isKnown && this.#doubts.areNone ? Passes.limit(time.now()) : null
    for (;;) {
      this.#passes.begin(this.#instant())
      this.#doubts.passBegins()
      yield* this.#pass()
      this.#pulls.end()
      const limit = Passes.limit(time.now())
      if (this.#doubts.areNone) goal ??= limit
      const isReached = this.#doubts.areNone && this.#passes.isReadUpTo(this.#once ? Math.min(goal ?? limit, limit) : limit)
      if (isReached) this.#log.info('The data is up to date!')
      if (isReached && this.#once) return
      const waitMs = this.#once ? ONCE_AGAIN_MS : Math.max(0, this.#pulls.beganAt + periodMs - clock.monotonic())
      this.#pulls.completed(waitMs)
      await clock.sleep(waitMs, this.#signal)
      this.#pulls.begin()
    }
  }

  async *#pass(): AsyncGenerator<Unit, void, undefined> {
    for (;;) {
      this.#useKnownTime()
      const step = this.#passes.next(this.#instant())
      if (step === null) {
        if (!this.#doubts.areToBeCleared) return
        await this.#askTime()
      } else {
        const result = yield* this.#read(step)
        if ('error' in result) {
          yield* this.#afterFailure(result)
        } else {
          yield this.#finish(result)
          this.#pulls.progressed()
        }
      }
    }
  }

  /** All units of a window but the last, whose position moves the mark. */
  async *#read(planned: Step): AsyncGenerator<Unit, Whole | Failed, undefined> {
    const { clock, client } = this.#deps
    let step = planned
    let sentAt = 0
    let held: ResponsePart | null = null
    let reading: WindowReading | null = null
    const choose = (): Window => {
      step = this.#freshest(step)
      sentAt = clock.monotonic()
      this.#pulls.requested()
      return step.window
    }
    try {
      const answer = await client.ask(this.#service, choose, this.#asking())
      const pull = this.#pulls.answered()
      const { window } = step
      const arrays = new Map([[TAP_SERVICES[this.#service.name].array, { pull, seen: this.#seen }]])
      reading = new WindowReading(answer, { arrays, window, now: () => clock.now() }, clock, clock.monotonic() - sentAt)
      for (let part = await reading.next(); part !== null; part = await reading.next()) {
        if (held !== null) yield this.#pulls.unit(window, held, this.#passes)
        held = part
      }
      const { summary, tookMs } = reading
      const servedTo = floorToSecond(Math.min(window.to, summary.queryEndTime ?? window.to))
      if (servedTo <= window.from) throw new TapError('broken', `the API was asked for ${writeWindow(window)} and answers only up to ${writeTime(servedTo)}`)
      this.#pulls.received(summary.received, summary.duplicates)
      if (summary.invalidUtf8 > 0) this.#log.warn({ window: writeWindow(window), events: summary.invalidUtf8 }, 'Events held bytes that are not UTF-8; each such byte became U+FFFD')
      return { step, last: held, requestedAt: answer.requestedAt, servedTo, tookMs }
    } catch (error) {
      this.#signal.throwIfAborted()
      const failure = error instanceof TapError ? error : client.failureOf(error)
      if (held !== null) {
        // Real events all the same; their fingerprints keep them from coming again.
        this.#pulls.received(held.events, 0)
        yield this.#pulls.unit(step.window, held, this.#passes)
      }
      return { step, error: failure }
    } finally {
      await reading?.close()
    }
  }

  #finish({ step, last, requestedAt, servedTo, tookMs }: Whole): Unit {
    const { window, kind } = step
    const isShort = servedTo < window.to
    if (isShort) this.#log.warn(`The API was asked for ${writeWindow(window)} and answered up to ${writeTime(servedTo)} only; the rest is read later`)
    this.#doubts.servedTo(servedTo)
    this.#passes.served(step, { servedTo, requestedAt, tookMs, now: this.#instant() })
    if (kind === 'probe') {
      const hole = this.#passes.holes.findLast(({ to }) => to <= window.from)
      const piece = hole === undefined ? '' : writeWindow(hole)
      this.#log.error(`A hole: the API cannot serve ${piece}, although it serves what lies behind (${hole?.reason ?? ''}). Reading goes on; the hole is tried again every hour`)
    }
    if (kind === 'hole') this.#log.info(`The API has served ${writeWindow(window)}, which was a hole`)
    if (kind !== 'read') this.#waits.showHoles(this.#passes.holes)
    this.#waits.isWell()
    const forgotten = this.#passes.forgettable(this.#seen.windows(), window)
    this.#seen.forget(forgotten)
    this.#tellProgress(servedTo)
    this.#log.debug({ window: writeWindow(window), kind, events: last?.events ?? 0, tookMs: Math.round(tookMs) }, 'A window was read')
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
      this.#log.debug({ window: writeWindow(step.window) }, `A hole is still one: ${message}`)
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
    this.#log.error(`A gap: the events from ${writeTime(window.from)} to ${writeTime(window.to)} are lost, because they can no longer be asked for: ${reason}`)
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
        const answer = await client.ask(this.#service, () => window, this.#asking())
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

  #tellProgress(servedTo: number): void {
    const { clock, time } = this.#deps
    const behind = Passes.limit(time.now()) - servedTo
    if (behind < HOUR_MS || clock.monotonic() - this.#toldAt < MINUTE_MS) return
    this.#toldAt = clock.monotonic()
    this.#log.info(`Catching up: read up to ${writeTime(servedTo)}, ${Math.ceil(behind / HOUR_MS)} hours are left`)
  }

  /** The same step as it would be planned now: a request that had to wait may ask for more. */
  #freshest(step: Step): Step {
    const now = this.#passes.next(this.#instant())
    return now !== null && now.kind === step.kind && now.window.from === step.window.from ? now : step
  }

  #asking(): Omit<Asking, 'member'> {
    const { time, periodMs } = this.#deps
    const isCaughtUp = time.now() - Math.max(this.#passes.furthest, this.#passes.settled + this.#service.lookBackMs) <= 2 * periodMs + CAUGHT_UP_MS
    return { isCaughtUp, signal: this.#signal, isPatient: true, onWait: (reason) => this.#waits.tell(reason, {}, 'debug') }
  }

  #instant(): Instant {
    const { time, clock } = this.#deps
    return { server: time.now(), isKnown: time.isKnown, local: clock.now(), monotonic: clock.monotonic() }
  }
}
