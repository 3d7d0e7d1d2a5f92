import { DAY_MS } from '../../pipeline/time.ts'

/** The API serves what is not older. */
export const HORIZON_MS = 7 * DAY_MS

/** An input of type `proofpoint_tap`, checked and with its defaults. Times in milliseconds, paths absolute. */
export interface TapInputConfig {
  /** The key under `inputs`. */
  readonly name: string
  /** The user's `id`, as text. */
  readonly id: string
  readonly username: string
  readonly password: string
  readonly baseUrl: string
  readonly environment: string | null
  /** Our own limits for each pool: at most `requests` in any `periodMs`. Empty: none. */
  readonly requestsLimits: readonly { readonly periodMs: number; readonly requests: number }[]
  readonly endpointMode: 'separate' | 'combined' | 'auto'
  readonly services: readonly TapServiceConfig[]
  /** Path of a PEM file with the CAs that count for `base_url`, or null: the system's. */
  readonly ca: string | null
}

export interface TapServiceConfig {
  readonly name: TapServiceName
  /** `start_time_in_utc_format` as epoch milliseconds; null where it was left out. */
  readonly startTime: number | null
  readonly requestPeriodMs: number
  readonly lookBackMs: number
  readonly sweepPeriodMs: number
  /** `override_tag`: where all its events go in Devo; null: to the table of their kind. */
  readonly overrideTag: string | null
  /** Empty: the API's own default. */
  readonly threatStatuses: readonly ('active' | 'cleared' | 'falsePositive')[]
  /** Empty: all. */
  readonly threatTypes: readonly ('url' | 'attachment' | 'messageText')[]
}

export type TapServiceName = 'clicksBlocked' | 'clicksPermitted' | 'messagesBlocked' | 'messagesDelivered' | 'issues' | 'threats'
