import type { Readable } from 'node:stream'
import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import type { Conditions } from '../../pipeline/conditions.ts'
import type { Counters } from '../../pipeline/counters.ts'
import type { QuotaLog, Source, SourceService, UnitsOptions } from '../../pipeline/source.ts'
import type { ServiceState, Unit } from '../../pipeline/unit.ts'
import { TapClient } from './client.ts'
import { Company } from './company.ts'
import type { TapInputConfig, TapServiceConfig } from './config.ts'
import { checkTarget, checkThreats } from './check.ts'
import type { HttpRequest } from './http.ts'
import { TapPools } from './pools.ts'
import { ServerTime } from './server-time.ts'
import { ServiceReader } from './service-reader.ts'
import { asksForWindows, rolesOf } from './services.ts'
import { feedName, ownTarget, targetOf, type RequestTarget } from './targets.ts'
import { ThreatReader } from './threat-reader.ts'
import { createHttpClient, type HttpClient } from './undici-request.ts'
import { UnitStream } from './unit-stream.ts'

export interface TapSourceDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly quotaLog: QuotaLog
  readonly conditions: Conditions
  readonly counters: Counters
  /** Instead of real requests: the simulation's seam. */
  readonly request?: HttpRequest
  /** Jitter of the waits; a simulation gives its own. */
  readonly random?: () => number
}

/** One source for each input. Together, for inputs with the same credential share its quota. */
export async function createTapSources(inputs: readonly TapInputConfig[], deps: TapSourceDependencies): Promise<Source[]> {
  const pools = new TapPools(inputs, deps)
  let open = inputs.length
  const closed = (): void => {
    open -= 1
    if (open === 0) pools.close()
  }
  return inputs.map((input) => new TapSource(input, deps, pools, closed))
}

type ReadUnits = (signal: AbortSignal) => AsyncGenerator<Unit, void, undefined>

class TapSource implements Source {
  readonly name: string
  readonly inputId: string
  readonly services: readonly SourceService[]
  readonly #input: TapInputConfig
  readonly #deps: TapSourceDependencies
  readonly #pools: TapPools
  readonly #http: HttpClient | null
  readonly #time: ServerTime
  readonly #client: TapClient
  /** Services that share their requests, and each of the others alone. */
  readonly #groups: readonly { readonly services: readonly TapServiceConfig[]; readonly company: Company }[]
  readonly #closed: () => void
  readonly #streams = new Set<UnitStream>()
  #isClosed = false

  constructor(input: TapInputConfig, deps: TapSourceDependencies, pools: TapPools, closed: () => void) {
    this.name = input.name
    this.inputId = input.id
    this.services = input.services.map((service) => {
      const { name, startTime } = service
      return { name, startTime, ...rolesOf(name), ...(!asksForWindows(service) && { follows: feedName(input, service) }) }
    })
    this.#input = input
    this.#deps = deps
    this.#pools = pools
    this.#closed = closed
    this.#http = deps.request === undefined ? createHttpClient({ ca: input.ca }) : null
    this.#time = new ServerTime(deps.clock)
    const request = deps.request ?? this.#http?.request
    if (request === undefined) throw new Error('no way to send requests')
    const client = new TapClient(input, { ...deps, request, pools, time: this.#time })
    this.#client = client
    this.#groups = pools.groupsOf(input).map((services) => ({
      services,
      company: new Company(services.map(({ name }) => name), { input, client, clock: deps.clock }),
    }))
  }

  units(name: string, state: ServiceState, options: UnitsOptions): Readable {
    const service = this.#service(name)
    const read = asksForWindows(service) ? this.#windowsOf(service, state, options) : this.#threatsIn(service, state, options)
    const stream = new UnitStream(read, options.signal)
    this.#streams.add(stream)
    stream.once('close', () => this.#streams.delete(stream))
    if (this.#isClosed) stream.destroy(new Error('the source is closed'))
    return stream
  }

  serverTime(): number {
    return Math.floor(this.#time.believed())
  }

  async check(signal: AbortSignal): Promise<void> {
    const targets = this.#groups.map(({ services }) => targetOf(this.#input, services))
    const byPool = new Map<string, RequestTarget>()
    for (const target of targets) if (target.services.length > (byPool.get(target.pool)?.services.length ?? 0)) byPool.set(target.pool, target)
    const deps = { ...this.#deps, client: this.#client, time: this.#time }
    for (const target of byPool.values()) await checkTarget(target, deps, signal)
    for (const service of this.#input.services) if (!asksForWindows(service)) await checkThreats(this.#input, service, deps, signal)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const streams = [...this.#streams]
    const gone = streams.map((stream) => new Promise((resolve) => stream.once('close', resolve)))
    for (const stream of streams) stream.destroy()
    await Promise.all(gone)
    await this.#http?.close()
    this.#closed()
  }

  #windowsOf(service: TapServiceConfig, state: ServiceState, { once, elsewhere = [] }: UnitsOptions): ReadUnits {
    const { services, company } = this.#groupOf(service.name)
    const deps = { ...this.#deps, client: this.#client, time: this.#time, company, periodMs: this.#pools.periodOf(this.#input, services) }
    for (const { pool } of [targetOf(this.#input, services), ownTarget(this.#input, service)]) this.#pools.of(this.#input, pool).refresh()
    const input = this.#input
    return async function* (signal) {
      yield* new ServiceReader(input, service, state, deps, { signal, once, elsewhere }).units()
    }
  }

  #threatsIn(service: TapServiceConfig, state: ServiceState, { once, events }: UnitsOptions): ReadUnits {
    if (events === undefined) throw new Error(`${service.name} needs the events of the buffer`)
    const deps = { ...this.#deps, client: this.#client, time: this.#time, events, periodMs: service.requestPeriodMs }
    this.#pools.of(this.#input, ownTarget(this.#input, service).pool).refresh()
    const input = this.#input
    return async function* (signal) {
      yield* new ThreatReader(input, service, state, deps, { signal, once }).units()
    }
  }

  #groupOf(name: string): { readonly services: readonly TapServiceConfig[]; readonly company: Company } {
    const group = this.#groups.find(({ services }) => services.some((service) => service.name === name))
    if (group === undefined) throw new Error(`input ${this.name} has no service ${name}`)
    return group
  }

  #service(name: string): TapServiceConfig {
    const service = this.#input.services.find((candidate) => candidate.name === name)
    if (service === undefined) throw new Error(`input ${this.name} has no service ${name}`)
    return service
  }
}
