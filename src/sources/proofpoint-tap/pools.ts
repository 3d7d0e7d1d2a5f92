import { hash } from 'node:crypto'
import type { BufferSnapshot } from '../../pipeline/buffer.ts'
import { chooseGroups, poolUses, rulesOf, type ServiceGroups } from './combining.ts'
import type { TapInputConfig, TapServiceConfig } from './config.ts'
import { RequestPool, type PoolDependencies } from './pool.ts'
import { describeLimits, QuotaUse } from './quotas.ts'
import { poolNames, POOLS, TAP_SERVICES, type PoolName } from './services.ts'
import { stretchFactor } from './stretch.ts'
import { targetOf } from './targets.ts'
import { DAY_MS, SECOND_MS } from './windows.ts'

interface PoolUse {
  readonly input: TapInputConfig
  readonly services: readonly TapServiceConfig[]
}

/**
 * All pools of all inputs: inputs with the same credential share theirs, for the API's quota belongs to the credential. It also decides which
 * services share their requests, for that depends on what the pools can bear.
 */
export class TapPools {
  readonly #deps: PoolDependencies
  readonly #groups = new Map<TapInputConfig, ServiceGroups>()
  readonly #pools = new Map<string, { readonly pool: RequestPool; readonly factor: number }>()

  /** Warns once for each pool whose services ask more often than its limits allow, and says what `auto` has chosen. */
  constructor(inputs: readonly TapInputConfig[], deps: PoolDependencies) {
    this.#deps = deps
    const credentials = new Map<string, TapInputConfig[]>()
    for (const input of inputs) credentials.set(credentialKey(input), [...(credentials.get(credentialKey(input)) ?? []), input])
    for (const sharing of credentials.values()) this.#open(sharing)
  }

  of(input: TapInputConfig, pool: PoolName): RequestPool {
    return this.#entry(input, pool).pool
  }

  /** The services of an input; those of one group share their requests. */
  groupsOf(input: TapInputConfig): ServiceGroups {
    return this.#groups.get(input) ?? []
  }

  /** The period of a group's services as the quota allows it. */
  periodOf(input: TapInputConfig, services: readonly TapServiceConfig[]): number {
    const { factor } = this.#entry(input, targetOf(input, services).pool)
    return Math.ceil(rulesOf(services, factor).periodMs / SECOND_MS) * SECOND_MS
  }

  close(): void {
    for (const { pool } of this.#pools.values()) pool.close()
  }

  /** The pools of one credential. All of them: also a service that shares its requests may have to ask for itself alone. */
  #open(inputs: readonly TapInputConfig[]): void {
    const { groups, reasons } = chooseGroups(inputs)
    for (const [input, ofInput] of groups) this.#groups.set(input, ofInput)
    for (const [{ name: input }, reason] of reasons) this.#deps.log.info({ input }, `endpoint_mode auto: ${reason}`)
    const [first] = inputs
    if (first === undefined) return
    for (const name of poolNames()) {
      const uses = poolUses(groups).filter(({ pool }) => pool === name)
      const pool = new RequestPool(poolKey(first, name), name, this.#deps)
      for (const { requestsLimits } of inputs) if (POOLS[name].hasQuota) pool.use.addLimits(requestsLimits)
      const factor = stretchFactor(uses.map(({ services }) => rulesOf(services)), pool.use.limits)
      for (const { input, services } of uses) pool.join(targetOf(input, services).member, rulesOf(services, factor))
      this.#pools.set(pool.key, { pool, factor })
      if (factor > 1) this.#warn(name, uses, pool, factor)
    }
  }

  #entry(input: TapInputConfig, pool: PoolName): { readonly pool: RequestPool; readonly factor: number } {
    const entry = this.#pools.get(poolKey(input, pool))
    if (entry === undefined) throw new Error(`input ${input.name} has no pool ${pool}`)
    return entry
  }

  #warn(name: PoolName, uses: readonly PoolUse[], pool: RequestPool, factor: number): void {
    const limits = describeLimits(pool.use.limits)
    const periods = uses.map(({ services }) => {
      const { periodMs } = rulesOf(services)
      return `${services.map((service) => service.name).join(' + ')} from ${periodMs / SECOND_MS} to ${Math.ceil((periodMs * factor) / SECOND_MS)} s`
    })
    this.#deps.log.warn({ code: 'RequestPeriodStretched', pool: name }, `request_period_in_seconds does not fit into the quota of pool ${name} (requests: ${limits}) and is stretched: ${periods.join(', ')}`)
  }
}

/** One credential's share of a pool, without a secret in it. */
export function poolKey(input: TapInputConfig, pool: PoolName): string {
  return `${credentialKey(input)}/${pool}`
}

function credentialKey({ baseUrl, username }: TapInputConfig): string {
  const base = new URL(baseUrl).href.replace(/\/+$/, '')
  return hash('sha256', `${base}\n${username}`).slice(0, 16)
}

/** What `status` shows of the quotas: one line for each pool that an input uses. */
export function poolsOf(
  inputs: readonly TapInputConfig[],
  saved: BufferSnapshot['pools'],
  now: number,
): { input: string; pool: PoolName; remaining: number | null; limit: number | null; used: number; free_at: string | null }[] {
  return inputs.flatMap((input) => {
    const names = new Set(input.services.map(({ name }) => TAP_SERVICES[name].pool))
    return [...names].map((pool) => {
      const key = poolKey(input, pool)
      const use = new QuotaUse()
      for (const other of inputs) if (POOLS[pool].hasQuota && poolKey(other, pool) === key) use.addLimits(other.requestsLimits)
      use.load(saved.find((entry) => entry.pool === key)?.minutes ?? [])
      const remaining = use.remaining(now)
      const tightest = use.limits.find(({ periodMs, requests }) => Math.max(0, requests - use.used(periodMs, now)) === remaining)
      return { input: input.name, pool, remaining, limit: tightest?.requests ?? null, used: use.used(DAY_MS, now), free_at: remaining === null ? null : new Date(use.freeAt(now)).toISOString() }
    })
  })
}
