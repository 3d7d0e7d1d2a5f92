import type { TapServiceName } from './config.ts'

/** The two throttles of the API: each allows 1,800 requests in a rolling 24 hours to one credential. */
export type PoolName = 'clicks_permitted' | 'siem'

export interface TapService {
  readonly name: TapServiceName
  /** Below the base URL. */
  readonly endpoint: string
  readonly pool: PoolName
  /** The array of the response that holds its events. */
  readonly array: string
  /** Devo's table, used as the tag. */
  readonly table: string
}

/** Answers for all services in one envelope. Its requests count in the pool `siem` alone, those for permitted clicks as well. */
export const SHARED_ENDPOINT = { endpoint: '/v2/siem/all', pool: 'siem' } as const

/** One small description each; adding a service is adding a line. Endpoints, pools and arrays: the API's own page on its SIEM interface. */
export const TAP_SERVICES: Readonly<Record<TapServiceName, TapService>> = {
  clicksBlocked: {
    name: 'clicksBlocked',
    endpoint: '/v2/siem/clicks/blocked',
    pool: 'siem',
    array: 'clicksBlocked',
    table: 'mail.proofpoint.tapsiem_v2.clicksblocked',
  },
  clicksPermitted: {
    name: 'clicksPermitted',
    endpoint: '/v2/siem/clicks/permitted',
    pool: 'clicks_permitted',
    array: 'clicksPermitted',
    table: 'mail.proofpoint.tapsiem_v2.clickspermitted',
  },
  messagesBlocked: {
    name: 'messagesBlocked',
    endpoint: '/v2/siem/messages/blocked',
    pool: 'siem',
    array: 'messagesBlocked',
    table: 'mail.proofpoint.tapsiem_v2.messagesblocked',
  },
  messagesDelivered: {
    name: 'messagesDelivered',
    endpoint: '/v2/siem/messages/delivered',
    pool: 'siem',
    array: 'messagesDelivered',
    table: 'mail.proofpoint.tapsiem_v2.messagesdelivered',
  },
}
