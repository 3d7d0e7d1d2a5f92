import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../pipeline/time.ts'
import type { TapInputConfig } from '../sources/proofpoint-tap/config.ts'
import { read, type Component, type Context } from './component.ts'
import { isLeftOut, show, type Node } from './node.ts'

type Limits = TapInputConfig['requestsLimits']

const UNIT_MS: Readonly<Record<string, number>> = { s: SECOND_MS, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS }
const PERIOD = /^(\d{1,9})\s*([smhd])$/

/** What the API itself allows to one credential, in each of its two pools. */
const DEFAULT_LIMITS: Limits = [{ periodMs: DAY_MS, requests: 1800 }]

interface LimitValues {
  readonly period: string
  readonly number_of_requests: number
}

export const LIMIT: Component<LimitValues> = {
  schema: {
    period: { doc: 'a time such as 1d, 24h, 60m or 30s', format: 'tap_text', default: null, check: checkPeriod },
    number_of_requests: {
      doc: 'how many requests each of the two pools may see in the period, or -1 for no limit of our own',
      format: 'tap_whole_number',
      default: null,
      min: -1,
      except: 0,
      expected: 'a whole number of at least 1, or -1 for no limit of our own',
    },
  },
}

/** Left out: the limit of the API. A number of -1 sets no limit of our own. */
export function readLimits(node: Node | undefined, path: string, context: Context): Limits {
  if (isLeftOut(node)) return DEFAULT_LIMITS
  if (node.kind !== 'list') {
    context.report.problem(path, 'must be a list of entries with period and number_of_requests', show(node))
    return []
  }
  return node.items.flatMap((item, index) => {
    const section = read(LIMIT, item, `${path}[${index}]`, context)
    if (!section.given('period') || !section.given('number_of_requests')) return []
    const requests = section.values.number_of_requests
    return requests === -1 ? [] : [{ periodMs: periodMs(section.values.period) ?? DAY_MS, requests }]
  })
}

function periodMs(period: string): number | null {
  const match = PERIOD.exec(period)
  const ms = Number(match?.[1]) * (UNIT_MS[match?.[2] ?? ''] ?? Number.NaN)
  return ms >= 1000 && ms <= DAY_MS ? ms : null
}

function checkPeriod(period: string): string | null {
  return periodMs(period) === null ? 'must be a time of at most a day, such as 1d, 24h, 60m or 30s' : null
}
