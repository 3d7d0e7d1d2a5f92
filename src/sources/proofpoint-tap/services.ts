import type { TapServiceName } from './config.ts'

/**
 * What the API throttles apart. The first two allow 1,800 requests in a rolling 24 hours to one credential; for summaries of threats it names no quota,
 * so that the user's limits do not count there.
 */
export const POOLS = { siem: { hasQuota: true }, clicks_permitted: { hasQuota: true }, threat: { hasQuota: false } } as const

export type PoolName = keyof typeof POOLS

export function poolNames(): readonly PoolName[] {
  // The keys are known: nobody adds one.
  return Object.keys(POOLS) as PoolName[]
}

/** Devo's table for each kind of events, used as the tag. The `service` of an event is its kind: the name of the array that the API sends it in. */
export const TAP_TABLES = {
  clicksBlocked: 'mail.proofpoint.tapsiem_v2.clicksblocked',
  clicksPermitted: 'mail.proofpoint.tapsiem_v2.clickspermitted',
  messagesBlocked: 'mail.proofpoint.tapsiem_v2.messagesblocked',
  messagesDelivered: 'mail.proofpoint.tapsiem_v2.messagesdelivered',
  threats: 'mail.proofpoint.tap_threats.events',
} as const

export type TapEventKind = keyof typeof TAP_TABLES

/** What a service asks for: windows of time, or what the events in the buffer name. */
export type Asks = 'windows' | 'threats in events'

export interface TapService {
  readonly name: TapServiceName
  readonly asks: Asks
  /** Below the base URL; for what events name its id follows. */
  readonly endpoint: string
  readonly pool: PoolName
  /** The arrays of the response that hold its events; an answer that is an event itself counts as one. */
  readonly arrays: readonly TapEventKind[]
}

/** Answers for all services in one envelope. Its requests count in the pool `siem` alone, those for permitted clicks as well. */
export const SHARED_ENDPOINT = { endpoint: '/v2/siem/all', pool: 'siem' } as const

/** One small description each; adding a service is adding a line. Endpoints, pools and arrays: the API's own pages. */
export const TAP_SERVICES: Readonly<Record<TapServiceName, TapService>> = {
  clicksBlocked: { name: 'clicksBlocked', asks: 'windows', endpoint: '/v2/siem/clicks/blocked', pool: 'siem', arrays: ['clicksBlocked'] },
  clicksPermitted: { name: 'clicksPermitted', asks: 'windows', endpoint: '/v2/siem/clicks/permitted', pool: 'clicks_permitted', arrays: ['clicksPermitted'] },
  messagesBlocked: { name: 'messagesBlocked', asks: 'windows', endpoint: '/v2/siem/messages/blocked', pool: 'siem', arrays: ['messagesBlocked'] },
  messagesDelivered: { name: 'messagesDelivered', asks: 'windows', endpoint: '/v2/siem/messages/delivered', pool: 'siem', arrays: ['messagesDelivered'] },
  issues: { name: 'issues', asks: 'windows', endpoint: '/v2/siem/issues', pool: 'siem', arrays: ['clicksPermitted', 'messagesDelivered'] },
  threats: { name: 'threats', asks: 'threats in events', endpoint: '/v2/threat/summary', pool: 'threat', arrays: ['threats'] },
}

export function asksForWindows({ name }: { readonly name: TapServiceName }): boolean {
  return TAP_SERVICES[name].asks === 'windows'
}

/** Which events a service brings, and the services that bring some of the same: of them only one may run. */
export function rolesOf(name: TapServiceName): { readonly kinds: readonly TapEventKind[]; readonly replaces: readonly { readonly name: TapServiceName; readonly kinds: readonly TapEventKind[] }[] } {
  const { arrays: kinds } = TAP_SERVICES[name]
  const rivals = Object.values(TAP_SERVICES).filter((other) => other.name !== name && other.arrays.some((kind) => kinds.includes(kind)))
  return { kinds, replaces: rivals.map((other) => ({ name: other.name, kinds: other.arrays })) }
}

/** What the events of a service are, by its name or `input/name`: the kinds are written in the same way. */
export function kindsOf(service: string): readonly string[] {
  const slash = service.lastIndexOf('/') + 1
  const name = service.slice(slash)
  const known = Object.values(TAP_SERVICES).find((candidate) => candidate.name === name)
  return known === undefined ? [service] : known.arrays.map((kind) => service.slice(0, slash) + kind)
}
