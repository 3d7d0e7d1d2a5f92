import { hash } from 'node:crypto'
import type { BufferSnapshot } from '../../pipeline/buffer.ts'
import type { TapInputConfig, TapServiceConfig } from './config.ts'
import { RequestPool, type PoolDependencies } from './pool.ts'
import { describeLimits, QuotaUse } from './quotas.ts'
import { TAP_SERVICES, type PoolName } from './services.ts'
import { stretchFactor } from './stretch.ts'
import { DAY_MS, SECOND_MS } from './windows.ts'

/** All pools of all inputs: inputs with the same credential share theirs, for the API's quota belongs to the credential. */
export class TapPools {
  readonly #deps: PoolDependencies
  readonly #pools = new Map<string, { readonly pool: RequestPool; readonly factor: number }>()

  /** Warns once for each pool whose services ask more often than its limits allow. */
  constructor(inputs: readonly TapInputConfig[], deps: PoolDependencies) {
    this.#deps = deps
    const members = new Map<string, { readonly input: TapInputConfig; readonly service: TapServiceConfig; readonly pool: PoolName }[]>()
    for (const input of inputs) {
      for (const service of input.services) {
        const { pool } = TAP_SERVICES[service.name]
        const key = poolKey(input, pool)
        members.set(key, [...(members.get(key) ?? []), { input, service, pool }])
      }
    }
    for (const [key, sharing] of members) {
      const pool = new RequestPool(key, sharing[0]?.pool ?? '', deps)
      for (const { input } of sharing) pool.use.addLimits(input.requestsLimits)
      const services = sharing.map(({ service }) => service)
      const factor = stretchFactor(services.map(({ requestPeriodMs, ...rules }) => ({ ...rules, periodMs: requestPeriodMs })), pool.use.limits)
      for (const { input, service } of sharing) {
        const { lookBackMs, sweepPeriodMs } = service
        pool.join(memberName(input, service), { periodMs: service.requestPeriodMs * factor, lookBackMs, sweepPeriodMs })
      }
      this.#pools.set(key, { pool, factor })
      if (factor > 1) this.#warn(sharing[0]?.pool ?? '', services, pool, factor)
    }
  }

  of(input: TapInputConfig, service: TapServiceConfig): RequestPool {
    return this.#entry(input, service).pool
  }

  /** The service's period as the quota allows it. */
  periodOf(input: TapInputConfig, service: TapServiceConfig): number {
    return Math.ceil((service.requestPeriodMs * this.#entry(input, service).factor) / SECOND_MS) * SECOND_MS
  }

  close(): void {
    for (const { pool } of this.#pools.values()) pool.close()
  }

  #entry(input: TapInputConfig, service: TapServiceConfig): { readonly pool: RequestPool; readonly factor: number } {
    const entry = this.#pools.get(poolKey(input, TAP_SERVICES[service.name].pool))
    if (entry === undefined) throw new Error(`input ${input.name} has no pool for ${service.name}`)
    return entry
  }

  #warn(name: string, services: readonly TapServiceConfig[], pool: RequestPool, factor: number): void {
    const limits = describeLimits(pool.use.limits)
    const periods = services.map(({ name, requestPeriodMs }) => {
      const stretched = Math.ceil((requestPeriodMs * factor) / SECOND_MS)
      return `${name} from ${requestPeriodMs / SECOND_MS} to ${stretched} s`
    })
    this.#deps.log.warn({ pool: name }, `request_period_in_seconds does not fit into the quota of pool ${name} (requests: ${limits}) and is stretched: ${periods.join(', ')}`)
  }
}

/** How a service is known to its pool. */
export function memberName(input: TapInputConfig, service: TapServiceConfig): string {
  return `${input.name}/${service.name}`
}

/** One credential's share of a pool, without a secret in it. */
export function poolKey(input: TapInputConfig, pool: PoolName): string {
  const base = new URL(input.baseUrl).href.replace(/\/+$/, '')
  return `${hash('sha256', `${base}\n${input.username}`).slice(0, 16)}/${pool}`
}

/** What `status` shows of the quotas: one line for each pool that an input uses. */
export function poolsOf(
  inputs: readonly TapInputConfig[],
  saved: BufferSnapshot['pools'],
  now: number,
): { input: string; pool: PoolName; remaining: number | null; limit: number | null; used: number }[] {
  return inputs.flatMap((input) => {
    const names = new Set(input.services.map(({ name }) => TAP_SERVICES[name].pool))
    return [...names].map((pool) => {
      const key = poolKey(input, pool)
      const use = new QuotaUse()
      for (const other of inputs) if (poolKey(other, pool) === key) use.addLimits(other.requestsLimits)
      use.load(saved.find((entry) => entry.pool === key)?.minutes ?? [])
      const remaining = use.remaining(now)
      const tightest = use.limits.find(({ periodMs, requests }) => Math.max(0, requests - use.used(periodMs, now)) === remaining)
      return { input: input.name, pool, remaining, limit: tightest?.requests ?? null, used: use.used(DAY_MS, now) }
    })
  })
}
