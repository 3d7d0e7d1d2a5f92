import type { TapInputConfig, TapServiceConfig } from './config.ts'
import type { PassRules } from './steps.ts'
import type { RequestLimit } from './quotas.ts'
import { asksForWindows, poolNames, type PoolName } from './services.ts'
import { stretchFactor } from './stretch.ts'
import { targetOf } from './targets.ts'
import { DAY_MS } from './windows.ts'

/** Services of one input; those of a group share their requests. */
export type ServiceGroups = readonly (readonly TapServiceConfig[])[]

/** What the API itself allows to each pool; `auto` goes by it where there is no limit of our own. */
const API_LIMITS: readonly RequestLimit[] = [{ periodMs: DAY_MS, requests: 1_800 }]

export interface GroupChoice {
  readonly groups: ReadonlyMap<TapInputConfig, ServiceGroups>
  /** What `auto` has chosen and why, one sentence for each input that has it. */
  readonly reasons: ReadonlyMap<TapInputConfig, string>
}

/** Services with the same rules and filters can share their requests. */
export function combine(services: readonly TapServiceConfig[]): ServiceGroups {
  const groups = new Map<string, TapServiceConfig[]>()
  for (const service of services) {
    const { requestPeriodMs, lookBackMs, sweepPeriodMs, threatStatuses, threatTypes } = service
    const key = JSON.stringify([requestPeriodMs, lookBackMs, sweepPeriodMs, threatStatuses, threatTypes])
    groups.set(key, [...(groups.get(key) ?? []), service])
  }
  return [...groups.values()]
}

/**
 * How the services of these inputs, which have the same credential and therefore the same pools, are grouped. `auto` combines where requests of
 * their own would stretch the periods, and combined ones stretch them less.
 */
export function chooseGroups(inputs: readonly TapInputConfig[]): GroupChoice {
  const grouped = (isAutoCombined: boolean): ReadonlyMap<TapInputConfig, ServiceGroups> =>
    new Map(
      inputs.map((input) => {
        const services = input.services.filter(asksForWindows)
        const isCombined = input.endpointMode === 'combined' || (input.endpointMode === 'auto' && isAutoCombined)
        return [input, isCombined ? combine(services) : services.map((service) => [service])]
      }),
    )
  const separate = grouped(false)
  const combined = grouped(true)
  const [alone, together] = [worstStretch(separate), worstStretch(combined)]
  const isCombined = together < alone
  const groups = isCombined ? combined : separate
  const reason = isCombined
    ? `its services share requests to /v2/siem/all, for with requests of their own the quota would stretch their periods by ${alone.toFixed(1)}, and so by ${together.toFixed(1)}`
    : `each service has requests of its own, for ${alone > 1 ? 'shared ones would stretch the periods as much' : 'they fit into the quota'}`
  return { groups, reasons: new Map(inputs.filter(({ endpointMode }) => endpointMode === 'auto').map((input) => [input, reason])) }
}

/** What the services of each pool cost: a group is one. */
export function poolUses(groups: ReadonlyMap<TapInputConfig, ServiceGroups>): { readonly input: TapInputConfig; readonly pool: PoolName; readonly services: readonly TapServiceConfig[] }[] {
  return [...groups].flatMap(([input, ofInput]) => ofInput.map((services) => ({ input, pool: targetOf(input, services).pool, services })))
}

export function rulesOf(services: readonly TapServiceConfig[], factor = 1): PassRules {
  const [first] = services
  if (first === undefined) throw new Error('a group of no service')
  const { requestPeriodMs, lookBackMs, sweepPeriodMs } = first
  return { periodMs: requestPeriodMs * factor, lookBackMs, sweepPeriodMs }
}

function worstStretch(groups: ReadonlyMap<TapInputConfig, ServiceGroups>): number {
  const uses = poolUses(groups)
  const own = uses.flatMap(({ input }) => input.requestsLimits)
  const limits = own.length > 0 ? own : API_LIMITS
  const factorOf = (name: PoolName): number => stretchFactor(uses.filter(({ pool }) => pool === name).map(({ services }) => rulesOf(services)), limits)
  return Math.max(...poolNames().map(factorOf))
}
