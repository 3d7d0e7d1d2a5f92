/** The SIEM API's own names, read from its documentation apart from the collector's table, so that a mistake there shows. */

export const TAP_ARRAYS = ['clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered'] as const
export type TapArray = (typeof TAP_ARRAYS)[number]

/** Requests to clicks/permitted are throttled apart from all others of the SIEM API; for summaries of threats no throttle is known. */
export type TapPool = 'clicks_permitted' | 'siem' | 'threat'

export interface TapEndpoint {
  readonly pool: TapPool
  readonly arrays: readonly TapArray[]
}

export const TAP_ENDPOINTS: Readonly<Record<string, TapEndpoint>> = {
  '/v2/siem/clicks/blocked': { pool: 'siem', arrays: ['clicksBlocked'] },
  '/v2/siem/clicks/permitted': { pool: 'clicks_permitted', arrays: ['clicksPermitted'] },
  '/v2/siem/messages/blocked': { pool: 'siem', arrays: ['messagesBlocked'] },
  '/v2/siem/messages/delivered': { pool: 'siem', arrays: ['messagesDelivered'] },
  '/v2/siem/issues': { pool: 'siem', arrays: ['clicksPermitted', 'messagesDelivered'] },
  '/v2/siem/all': { pool: 'siem', arrays: TAP_ARRAYS },
}

/** The summary of one threat, whose id follows. */
export const THREAT_SUMMARY = '/v2/threat/summary'

export { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../pipeline/time.ts'

/** A request that the API answers with an error and a line of plain text. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly status: number
  constructor(status: number, text: string) {
    super(text)
    this.status = status
  }
}

/** `2026-11-20T10:00:00Z`: how the API writes a time, to the second. */
export function writeTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/\.\d+Z$/, 'Z')
}
