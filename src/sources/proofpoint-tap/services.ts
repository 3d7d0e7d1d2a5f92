import type { TapServiceName } from './config.ts'

/** The two throttles of the API: each allows 1,800 requests in a rolling 24 hours to one credential. */
export type PoolName = 'clicks_permitted' | 'siem'

/** Devo's table for each kind of events, used as the tag. The `service` of an event is its kind: the name of the array that the API sends it in. */
export const TAP_TABLES = {
  clicksBlocked: 'mail.proofpoint.tapsiem_v2.clicksblocked',
  clicksPermitted: 'mail.proofpoint.tapsiem_v2.clickspermitted',
  messagesBlocked: 'mail.proofpoint.tapsiem_v2.messagesblocked',
  messagesDelivered: 'mail.proofpoint.tapsiem_v2.messagesdelivered',
} as const

export type TapEventKind = keyof typeof TAP_TABLES

export interface TapService {
  readonly name: TapServiceName
  /** Below the base URL. */
  readonly endpoint: string
  readonly pool: PoolName
  /** The arrays of the response that hold its events. */
  readonly arrays: readonly TapEventKind[]
}

/** Answers for all services in one envelope. Its requests count in the pool `siem` alone, those for permitted clicks as well. */
export const SHARED_ENDPOINT = { endpoint: '/v2/siem/all', pool: 'siem' } as const

/** One small description each; adding a service is adding a line. Endpoints, pools and arrays: the API's own page on its SIEM interface. */
export const TAP_SERVICES: Readonly<Record<TapServiceName, TapService>> = {
  clicksBlocked: { name: 'clicksBlocked', endpoint: '/v2/siem/clicks/blocked', pool: 'siem', arrays: ['clicksBlocked'] },
  clicksPermitted: { name: 'clicksPermitted', endpoint: '/v2/siem/clicks/permitted', pool: 'clicks_permitted', arrays: ['clicksPermitted'] },
  messagesBlocked: { name: 'messagesBlocked', endpoint: '/v2/siem/messages/blocked', pool: 'siem', arrays: ['messagesBlocked'] },
  messagesDelivered: { name: 'messagesDelivered', endpoint: '/v2/siem/messages/delivered', pool: 'siem', arrays: ['messagesDelivered'] },
  issues: { name: 'issues', endpoint: '/v2/siem/issues', pool: 'siem', arrays: ['clicksPermitted', 'messagesDelivered'] },
}

/** What the events of a service are, by its name or `input/name`: the kinds are written in the same way. */
export function kindsOf(service: string): readonly string[] {
  const slash = service.lastIndexOf('/') + 1
  const name = service.slice(slash)
  const known = Object.values(TAP_SERVICES).find((candidate) => candidate.name === name)
  return known === undefined ? [service] : known.arrays.map((kind) => service.slice(0, slash) + kind)
}
