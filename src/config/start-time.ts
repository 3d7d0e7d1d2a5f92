import type { Problem } from '../pipeline/errors.ts'
import { MINUTE_MS } from '../pipeline/time.ts'
import { HORIZON_MS, type TapServiceName } from '../sources/proofpoint-tap/config.ts'
import type { CollectorConfig } from './types.ts'

/** YAML 1.1's timestamp; without a zone it is UTC, as in the old collector. */
const TIME = /^(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d)(?::(\d\d)(?:\.(\d*))?)?[ \t]*(Z|z|UTC|[-+]\d\d?(?::?\d\d)?)?)?$/

/** Epoch milliseconds, or null where the text is no time that exists. */
export function parseTime(text: string): number | null {
  const match = TIME.exec(text.trim())
  if (match === null) return null
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = match
  const parts = [year, month, day, hour ?? 0, minute ?? 0, second ?? 0].map(Number)
  const [y = 0, m = 0, d = 0, h = 0, min = 0, s = 0] = parts
  const time = Date.UTC(y, m - 1, d, h, min, s, Number(fraction.slice(0, 3).padEnd(3, '0')))
  const date = new Date(time)
  // Date.UTC makes the 2nd of March of a 30th of February.
  const exists =
    date.getUTCMonth() === m - 1 && date.getUTCDate() === d && date.getUTCHours() === h && date.getUTCMinutes() === min && s < 60
  const offset = zoneMs(zone)
  return exists && offset !== null && y >= 1970 ? time - offset : null
}

function zoneMs(zone: string): number | null {
  const match = /^([-+])(\d\d?):?(\d\d)?$/.exec(zone)
  if (match === null) return 0
  const [, sign, hours, minutes = '0'] = match
  if (Number(hours) > 14 || Number(minutes) > 59) return null
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * MINUTE_MS
}

/**
 * The rule that needs to know the state: on a first start, and so after a change of the start time, a service may begin
 * at most seven days back.
 * `hasState` answers whether the service, or one in whose place it is, has a state that began with exactly this start time.
 */
export function checkStartTimes(
  config: Pick<CollectorConfig, 'inputs'>,
  hasState: (inputId: string, service: TapServiceName, startTime: number) => boolean,
  now: number,
): readonly Problem[] {
  const earliest = now - HORIZON_MS
  return config.inputs.flatMap((input) =>
    input.services.flatMap(({ name, startTime }): Problem[] => {
      if (startTime === null || startTime >= earliest || hasState(input.id, name, startTime)) return []
      return [
        {
          path: `inputs.${input.name}.services.${name}.start_time_in_utc_format`,
          message: `must be at most 7 days back on a first start (not before ${iso(earliest)}), ` +
            'because the API has no older events; leave it out to begin now',
          value: iso(startTime),
        },
      ]
    }),
  )
}

function iso(time: number): string {
  return new Date(time).toISOString().replace(/\.\d+Z$/, 'Z')
}
