import type { Logger } from 'pino'
import type { Cursor } from '../../pipeline/buffer.ts'
import { eventsOf, releaseBytes, type Batch } from '../../pipeline/event.ts'
import type { EventFeed } from '../../pipeline/feed.ts'
import { UNIT_MAX_BYTES, UNIT_MAX_EVENTS, type DeadLetter, type ServiceState, type Unit, type Window } from '../../pipeline/unit.ts'
import type { TapInputConfig, TapServiceConfig } from './config.ts'
import { TapError, type FailureKind } from './errors.ts'
import { FingerprintTable } from './fingerprints.ts'
import { ServicePulls } from './service-pulls.ts'
import type { ReaderDependencies } from './service-reader.ts'
import { ServiceWaits } from './service-waits.ts'
import { TAP_SERVICES } from './services.ts'
import { ThreatAnswers } from './threat-answers.ts'
import { ThreatQuestions, statusOf, type Question } from './threat-questions.ts'
import { askForThreat, NO_THREAT, type Summary } from './threat-summary.ts'
import { DAY_MS, floorToSecond, HOUR_MS } from './windows.ts'

/** A threat that an event names so long after it was asked for may have changed, and is asked for again. */
const ASK_AGAIN_AFTER_MS = DAY_MS
/** A threat at which the API fails for so long, while it answers otherwise, becomes a dead letter. */
const GIVE_UP_AFTER_MS = HOUR_MS
/** Failures that may be the threat's own. */
const THREAT_AT_FAULT: ReadonlySet<FailureKind> = new Set(['broken', 'refused'])

interface Page {
  readonly questions: readonly Question[]
  readonly cursor: Cursor
  readonly events: number
}

export interface ThreatReaderDependencies extends Omit<ReaderDependencies, 'company'> {
  readonly events: EventFeed
}

/**
 * Asks what the threats are that the events in the buffer name. It reads the events as an output does and appends the answers as a source does; the
 * fingerprints of what was asked for are saved with the answers. So a threat that was answered is not asked for again after a restart, and one that was
 * not is in the events that are then read again.
 */
export class ThreatReader {
  readonly #input: TapInputConfig
  readonly #service: TapServiceConfig
  readonly #deps: ThreatReaderDependencies
  readonly #log: Logger
  readonly #seen: FingerprintTable
  readonly #questions: ThreatQuestions
  readonly #answers: ThreatAnswers
  readonly #pulls: ServicePulls
  readonly #waits: ServiceWaits
  readonly #signal: AbortSignal
  readonly #once: boolean
  /** Events pulled before it do not count. */
  readonly #begin: number
  readonly #kinds: readonly string[]
  /** What was asked for in one hour is forgotten together. */
  #window: Window
  /** Behind the events of which all threats have been asked for. */
  #cursor: Cursor
  #settled: number

  constructor(
    input: TapInputConfig,
    service: TapServiceConfig,
    state: ServiceState,
    deps: ThreatReaderDependencies,
    { signal, once }: { readonly signal: AbortSignal; readonly once: boolean },
  ) {
    this.#input = input
    this.#service = service
    this.#deps = deps
    this.#log = deps.log.child({ input: input.name, service: service.name })
    this.#signal = signal
    this.#once = once
    this.#seen = new FingerprintTable(state.seen)
    this.#questions = new ThreatQuestions(this.#seen, (id) => {
      this.#log.warn({ code: 'ThreatIdInvalid' }, `An event names a threat by what is no id, and it is not asked for: ${JSON.stringify(id.slice(0, 80))}`)
    })
    this.#kinds = TAP_SERVICES[service.name].arrays
    this.#answers = new ThreatAnswers(this.#kinds.join())
    this.#pulls = new ServicePulls(input, service, { ...deps, log: this.#log })
    this.#waits = new ServiceWaits(`${input.name}/${service.name}`, { ...deps, log: this.#log }, deps.random)
    this.#begin = state.startTime ?? -Infinity
    this.#cursor = deps.events.cursor
    this.#settled = state.settled
    this.#window = this.#hour()
  }

  async *units(): AsyncGenerator<Unit, void, undefined> {
    const { clock, time, periodMs } = this.#deps
    for (;;) {
      const beganAt = floorToSecond(time.now())
      let page = await this.#page()
      for (; page.events > 0; page = await this.#page()) yield* this.#ask(page)
      // Also without an event there is something behind it in a topic.
      this.#cursor = page.cursor
      this.#settled = Math.max(this.#settled, beganAt)
      yield this.#unit()
      this.#pulls.end()
      if (this.#once) return
      const waitMs = Math.max(0, this.#pulls.beganAt + periodMs - clock.monotonic())
      this.#pulls.completed(waitMs)
      await clock.sleep(waitMs, this.#signal)
      this.#pulls.begin()
    }
  }

  /** The next events of the buffer, and what is to be asked because of them. */
  async #page(): Promise<Page> {
    this.#window = this.#hour()
    const stream = this.#deps.events.read({ from: this.#cursor, maxEvents: UNIT_MAX_EVENTS, maxBytes: UNIT_MAX_BYTES, signal: this.#signal })
    const questions = new Map<string, Question>()
    // A BatchStream carries batches.
    for await (const batch of stream as AsyncIterable<Batch>) {
      for (const question of this.#isWanted(batch) ? this.#questions.of([batch], this.#window) : []) {
        const known = questions.get(question.id)
        if (known === undefined) questions.set(question.id, question)
        else known.keys.push(...question.keys)
      }
      releaseBytes(batch)
    }
    return { questions: [...questions.values()], cursor: stream.cursor, events: stream.eventsRead }
  }

  #isWanted({ inputId, service, pulledAt }: Batch): boolean {
    return inputId === this.#input.id && !this.#kinds.includes(service) && pulledAt >= this.#begin
  }

  /** One after the other; a threat at which the API fails comes last. */
  async *#ask({ questions, cursor }: Page): AsyncGenerator<Unit, void, undefined> {
    const left = [...questions]
    let isPatient = false
    for (let question = left.shift(); question !== undefined; question = left.shift()) {
      try {
        await this.#answer(question, isPatient)
        isPatient = false
        if (this.#answers.isFull) yield this.#unit()
      } catch (error) {
        this.#signal.throwIfAborted()
        if (!(error instanceof TapError) || (error.kind === 'login' && this.#once)) throw error
        // What is known already need not wait.
        if (!this.#answers.isEmpty) yield this.#unit()
        isPatient = error.kind === 'throttled'
        if (isPatient) left.unshift(question)
        else if (!THREAT_AT_FAULT.has(error.kind)) {
          left.unshift(question)
          await this.#waits.after(error, `threat ${question.id}`, this.#signal)
        } else if (!(await this.#isHopeless(question, error))) {
          left.push(question)
          await this.#waits.after(error, `threat ${question.id}`, this.#signal)
        }
      }
    }
    this.#cursor = cursor
    yield this.#unit()
  }

  async #answer(question: Question, isPatient: boolean): Promise<void> {
    const summary = await this.#summaryOf(question.id, isPatient)
    this.#waits.isWell()
    this.#pulls.progressed()
    if (summary === null) {
      this.#log.warn({ code: 'ThreatUnknown' }, `The API does not know the threat ${question.id} (404), which an event names. It is asked for again when one does so tomorrow`)
    } else {
      const { part, counts } = summary
      this.#pulls.received(counts.received, counts.duplicates)
      for (const chunk of part?.chunks ?? []) for (const event of eventsOf(chunk)) this.#questions.answered(question, statusOf(event), this.#window)
    }
    this.#answers.add(question.keys, summary?.part ?? null)
  }

  /** Null: the API knows no such threat. */
  async #summaryOf(id: string, isPatient: boolean): Promise<Summary | null> {
    this.#pulls.requested()
    try {
      return await askForThreat(id, {
        ...this.#deps,
        input: this.#input,
        service: this.#service,
        seen: this.#seen,
        window: this.#window,
        asking: { isCaughtUp: true, signal: this.#signal, isPatient, onWait: (reason, code) => this.#waits.tell(reason, { code }, 'debug') },
        answered: () => this.#pulls.answered(),
      })
    } catch (error) {
      if (error instanceof TapError && error.kind === 'not-found') return null
      throw error
    }
  }

  /** True: the API fails at this threat for good, and otherwise not; it has become a dead letter. */
  async #isHopeless(question: Question, { message }: TapError): Promise<boolean> {
    const { clock } = this.#deps
    question.failingSince ??= clock.monotonic()
    if (clock.monotonic() - question.failingSince < GIVE_UP_AFTER_MS) return false
    try {
      await this.#summaryOf(NO_THREAT, true)
    } catch (error) {
      if (!(error instanceof TapError)) throw error
      return false
    }
    const event = Buffer.from(JSON.stringify({ id: question.id }))
    const [fingerprint = new Uint8Array()] = question.keys
    const { inputId, environment, pulledAt } = this.#pulls.answered()
    const letter: DeadLetter = {
      inputId, environment, pulledAt, service: this.#kinds.join(), output: null, at: clock.now(),
      reason: `the API has failed at this threat for an hour, although it answers otherwise: ${message}`,
      event: Uint8Array.from(event), size: event.length, fingerprint: fingerprint.slice(),
    }
    this.#answers.add(question.keys, { chunks: [], deadLetters: [letter], fingerprints: new Uint8Array() })
    return true
  }

  /** What has been answered since the last one. */
  #unit(): Unit {
    const window = this.#window
    const forgotten = this.#seen.windows().filter(({ to }) => to <= window.from - ASK_AGAIN_AFTER_MS)
    this.#seen.forget(forgotten)
    return { ...this.#pulls.unit(window, this.#answers.take(), { settled: this.#settled, holes: [] }, forgotten), readTo: this.#cursor }
  }

  #hour(): Window {
    const from = Math.floor(this.#deps.time.now() / HOUR_MS) * HOUR_MS
    return { from, to: from + HOUR_MS }
  }
}
