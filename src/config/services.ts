import { MINUTE_MS, SECOND_MS } from '../pipeline/time.ts'
import type { TapServiceConfig, TapServiceName } from '../sources/proofpoint-tap/config.ts'
import { asksForWindows, TAP_SERVICES } from '../sources/proofpoint-tap/services.ts'
import { join, read, type Component, type Context } from './component.ts'
import { isLeftOut, show, type Node } from './node.ts'
import { nearest } from './nearest.ts'
import { OLD_SERVICE } from './old-keys.ts'
import type { Report } from './report.ts'
import { parseTime } from './start-time.ts'

/** Services of the old collector that this one does not have. */
export const NOT_HERE = ['campaigns', 'people_vap', 'people_topclicks']

const THREAT_STATUSES = ['active', 'cleared', 'falsePositive'] as const
const THREAT_TYPES = ['url', 'attachment', 'messageText'] as const

interface ServiceValues {
  readonly start_time_in_utc_format: string | null
  readonly request_period_in_seconds: number
  readonly look_back_in_minutes: number
  readonly sweep_period_in_minutes: number
  readonly override_tag: string | null
  readonly threat_statuses: readonly string[]
  readonly threat_types: readonly string[]
}

/** Keys that mean something only where windows of time are asked for. */
const OF_WINDOWS = ['look_back_in_minutes', 'sweep_period_in_minutes', 'threat_statuses', 'threat_types'] as const

export const SERVICE: Component<ServiceValues> = {
  schema: {
    start_time_in_utc_format: { doc: 'where a first start begins, such as 2026-11-20T00:00:00Z: at most 7 days back, a future time waits; left out: now. Changed later, the service begins anew there', format: 'tap_text', default: null, nullable: true, check: checkTime },
    request_period_in_seconds: { doc: 'how many seconds lie between two readings; stretched by itself where the quota does not allow it', format: 'tap_whole_number', min: 1, max: 86_400, default: 300 },
    look_back_in_minutes: { doc: 'how many minutes late an event may appear in the API and still be caught', format: 'tap_whole_number', min: 0, max: 59, default: 45 },
    sweep_period_in_minutes: { doc: 'how many minutes lie between two readings of the whole look-back; 0: at every reading', format: 'tap_whole_number', min: 0, max: 10_080, default: 15 },
    override_tag: { doc: 'the table in Devo in place of the usual one: 4 to 8 levels of a-z, 0-9 and _, such as mail.proofpoint.tapsiem_v2.clicksblocked', format: 'tap_text', default: null, nullable: true, check: checkTag },
    threat_statuses: { doc: 'only events of threats with these statuses: active, cleared, falsePositive; left out: the default of the API, active and cleared', format: 'tap_choices', options: THREAT_STATUSES, default: [] },
    threat_types: { doc: 'only events of threats of these types: url, attachment, messageText; left out: all', format: 'tap_choices', options: THREAT_TYPES, default: [] },
  },
  old: OLD_SERVICE,
}

export const SERVICE_NAMES = Object.values(TAP_SERVICES).map(({ name }) => name)

export function isServiceName(name: string): name is TapServiceName {
  return Object.hasOwn(TAP_SERVICES, name)
}

/** At least one service, or an empty list with a problem reported. */
export function readServices(node: Node | undefined, path: string, context: Context): readonly TapServiceConfig[] {
  const { report } = context
  const expected = `it must name at least one of ${SERVICE_NAMES.join(', ')}`
  if (isLeftOut(node)) {
    if (!report.isExplained(path)) report.problem(path, `is missing: ${expected}`)
    return []
  }
  if (node.kind !== 'map') {
    report.problem(path, `must be a mapping, with the name of a service as key of each entry (clicksBlocked: {})`, show(node))
    return []
  }
  const services: TapServiceConfig[] = []
  for (const [name, entry] of node.entries) {
    const below = join(path, name)
    if (isServiceName(name)) services.push(readService(name, entry, below, context))
    else if (NOT_HERE.includes(name)) report.warning(below, 'is a service of the old collector that this one does not have; it does not run')
    else {
      const near = nearest(name, SERVICE_NAMES)
      report.problem(below, `is not a known service; ${near === null ? `known are ${SERVICE_NAMES.join(', ')}` : `did you mean ${near}?`}`)
    }
  }
  checkTwice(services, path, report)
  checkFollowed(services, path, report)
  if (services.length === 0 && !report.hasProblemBelow(path)) report.problem(path, `names no service that this collector has: ${expected}`)
  return services
}

/** Who asks for what events name has nothing to ask for without them. */
function checkFollowed(services: readonly TapServiceConfig[], path: string, report: Report): void {
  if (services.some(asksForWindows)) return
  const leading = SERVICE_NAMES.filter((name) => asksForWindows({ name })).join(', ')
  for (const { name } of services) report.problem(join(path, name), `asks for the threats that the events of other services name: add at least one of ${leading}`)
}

/** Two services that bring the same events would bring each of them twice. */
function checkTwice(services: readonly TapServiceConfig[], path: string, report: Report): void {
  for (const { name } of services) {
    const { arrays } = TAP_SERVICES[name]
    if (arrays.length === 1) continue
    const others = services.map((service) => service.name).filter((other) => other !== name)
    const parts = others.filter((other) => TAP_SERVICES[other].arrays.some((array) => arrays.includes(array))).join(' and ')
    if (parts === '') continue
    const wrong = `brings the events of ${arrays.join(' and ')}, so that those of ${parts} would come twice: remove either ${name} or ${parts}`
    report.problem(join(path, name), wrong)
  }
}

function readService(name: TapServiceName, node: Node, path: string, context: Context): TapServiceConfig {
  const section = read(SERVICE, node, path, context)
  const { values } = section
  for (const key of OF_WINDOWS) {
    if (asksForWindows({ name }) || !section.given(key)) continue
    context.report.warning(join(path, key), `means nothing for ${name}, which asks for no windows of time, and is ignored`)
  }
  return {
    name,
    startTime: values.start_time_in_utc_format === null ? null : parseTime(values.start_time_in_utc_format),
    requestPeriodMs: values.request_period_in_seconds * SECOND_MS,
    lookBackMs: values.look_back_in_minutes * MINUTE_MS,
    sweepPeriodMs: values.sweep_period_in_minutes * MINUTE_MS,
    overrideTag: values.override_tag,
    threatStatuses: THREAT_STATUSES.filter((status) => values.threat_statuses.includes(status)),
    threatTypes: THREAT_TYPES.filter((type) => values.threat_types.includes(type)),
  }
}

function checkTime(text: string): string | null {
  return parseTime(text) === null ? 'must be a time in UTC such as 2026-11-20T00:00:00Z' : null
}

const LEVEL = /^[a-z0-9_]+$/

/** The rule of Devo's collectors for a tag. */
function checkTag(tag: string): string | null {
  const levels = tag.split('.')
  const good = levels.length >= 4 && levels.length <= 8 && tag.length <= 1024 && levels.every((level) => LEVEL.test(level))
  return good ? null : 'must be a tag of 4 to 8 levels with dots between them, each of a-z, 0-9 and _, at most 1,024 characters in all'
}
