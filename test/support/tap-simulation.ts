import { pino, type Logger } from 'pino'
import { collect } from '../../src/pipeline/collect.ts'
import { Conditions } from '../../src/pipeline/conditions.ts'
import { Counters } from '../../src/pipeline/counters.ts'
import type { Source } from '../../src/pipeline/source.ts'
import { TapModel, type TapModelOptions } from '../../src/simulator/tap-model.ts'
import { Random } from '../../src/simulator/tap-random.ts'
import type { TapInputConfig, TapServiceConfig, TapServiceName } from '../../src/sources/proofpoint-tap/config.ts'
import { createTapSources } from '../../src/sources/proofpoint-tap/source.ts'
import type { HttpRequest } from '../../src/sources/proofpoint-tap/http.ts'
import { MemoryBuffer } from './memory-buffer.ts'
import { requestOverModel } from './tap-over-model.ts'
import { VirtualClock } from './virtual-clock.ts'

export const START = Date.parse('2026-11-20T00:00:00Z')
export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

export function serviceConfig(name: TapServiceName, overrides: Partial<TapServiceConfig> = {}): TapServiceConfig {
  return {
    name,
    startTime: START,
    requestPeriodMs: 5 * MINUTE,
    lookBackMs: 45 * MINUTE,
    sweepPeriodMs: 15 * MINUTE,
    overrideTag: null,
    threatStatuses: [],
    threatTypes: [],
    ...overrides,
  }
}

export function inputConfig(overrides: Partial<TapInputConfig> = {}): TapInputConfig {
  return {
    name: 'tap',
    id: '12345',
    username: 'principal',
    password: 'secret',
    baseUrl: 'https://tap.test',
    environment: null,
    requestsLimits: [{ periodMs: DAY, requests: 1_800 }],
    endpointMode: 'separate',
    services: [serviceConfig('clicksBlocked')],
    ca: null,
    ...overrides,
  }
}

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly service?: string
}

/** The real source and the real first hop over the model of the API, all on one virtual clock. */
export class TapSimulation {
  readonly clock: VirtualClock
  readonly model: TapModel
  readonly buffer = new MemoryBuffer()
  readonly lines: LogLine[] = []
  readonly rawLines: string[] = []
  readonly log: Logger
  readonly conditions: Conditions
  readonly counters = new Counters()
  request: HttpRequest
  inputs: readonly TapInputConfig[]
  /** Each input in a process of its own: they share nothing but the buffer. */
  areApart = false
  #starts = 0
  #running: { readonly sources: readonly Source[]; readonly stop: AbortController; readonly work: Promise<unknown> } | null = null

  constructor(inputs: readonly TapInputConfig[], { now = START, model = {}, latencyMs = 0 }: {
    readonly now?: number
    readonly model?: Omit<TapModelOptions, 'now'>
    readonly latencyMs?: number
  } = {}) {
    this.inputs = inputs
    this.clock = new VirtualClock(now)
    this.model = new TapModel({ now: this.clock.trueTime, ...model })
    this.request = requestOverModel(this.model, this.clock, { latencyMs })
    this.conditions = new Conditions(this.clock.now)
    this.log = pino({ level: 'debug', base: null, formatters: { level: (label) => ({ level: label }) } }, {
      write: (line: string) => {
        this.rawLines.push(line)
        // Written just above by pino.
        this.lines.push(JSON.parse(line) as LogLine)
      },
    })
  }

  async sources(): Promise<Source[]> {
    const processes = this.areApart ? this.inputs.map((input) => [input]) : [this.inputs]
    return (await Promise.all(processes.map((inputs) => this.#process(inputs)))).flat()
  }

  #process(inputs: readonly TapInputConfig[]): Promise<Source[]> {
    const { clock, log, conditions, counters } = this
    const random = new Random(this.#starts++, 'jitter')
    return createTapSources(inputs, { clock, log, quotaLog: this.buffer, conditions, counters, request: (request) => this.request(request), random: () => random.next() })
  }

  /** Begins collecting, as a process that has just started. Time moves only where a test moves it. */
  async start(): Promise<void> {
    const stop = new AbortController()
    const sources = await this.sources()
    const work = this.#collect(sources, stop.signal, false)
    work.catch(() => undefined)
    this.#running = { sources, stop, work }
  }

  /** The process ends; what was not in the buffer is gone. */
  async stop(): Promise<void> {
    const running = this.#running
    this.#running = null
    if (running === null) return
    running.stop.abort(new Error('stopped'))
    await Promise.all(running.sources.map((source) => source.close()))
    await running.work
  }

  /** Collects once, as `run --once`, driving the clock. */
  async once(): Promise<void> {
    const sources = await this.sources()
    const work = this.#collect(sources, new AbortController().signal, true)
    try {
      await this.clock.run(work)
    } finally {
      await Promise.all(sources.map((source) => source.close()))
    }
  }

  #collect(sources: readonly Source[], signal: AbortSignal, once: boolean): Promise<unknown> {
    const { clock, log, conditions, buffer } = this
    return Promise.all(
      sources.flatMap((source) => source.services.map((service) => collect({ source, service, buffer, clock, log, conditions, counters: this.counters, signal, once }))),
    )
  }

  reasons(): string[] {
    return this.conditions.list().map(({ part, reason }) => `${part}: ${reason}`)
  }

  said(text: string | RegExp, level?: string): LogLine[] {
    return this.lines.filter((line) => (typeof text === 'string' ? line.msg.includes(text) : text.test(line.msg)) && (level === undefined || line.level === level))
  }
}
