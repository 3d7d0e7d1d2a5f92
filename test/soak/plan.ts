import { behaviours, type DevoBehaviour } from '../../src/simulator/devo-behaviours.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, TAP_ARRAYS, type TapArray } from '../../src/simulator/tap-api.ts'
import type { AnswerFault, TransportFault } from '../../src/simulator/tap-faults.ts'
import { Random } from '../../src/simulator/tap-random.ts'
import { drawLists, type ServiceList } from './service-lists.ts'

/** Where every run begins. */
export const START = Date.parse('2026-11-02T00:00:00Z')

/** What goes wrong from `from` to `until`, milliseconds after START. */
export interface FaultSpan {
  readonly from: number
  readonly until: number
}

/** What is in the configuration from the next start on; left out: what was. */
export interface NextStart {
  readonly services?: ServiceList
  /** The input has another id. */
  readonly newId?: boolean
}

export type FaultKind =
  /** Answers of the API, and what happens to their bytes. */
  | { readonly kind: 'api'; readonly fault: AnswerFault | TransportFault; readonly probability: number }
  /** A minute (epoch milliseconds) that no window may hold. */
  | { readonly kind: 'api hole'; readonly minute: number }
  | { readonly kind: 'api away'; readonly how: 'refused' | 'no answer' | 'no name' }
  | { readonly kind: 'api clock'; readonly skewMs: number }
  | { readonly kind: 'local clock'; readonly skewMs: number }
  | { readonly kind: 'devo'; readonly behaviour: DevoBehaviour; readonly probability: number }
  | { readonly kind: 'devo away'; readonly how: 'refused' | 'no answer' | 'certificate' }
  /** Its process dies with what it has read but not ended, and comes back at the end. */
  | { readonly kind: 'devo killed' }
  /** A terminator whose backend is away: it ends every connection so long after its handshake, as if all were well. */
  | { readonly kind: 'devo backend'; readonly afterMs: number }
  /** Ours dies so many steps after `from`, and is started again at the end. */
  | ({ readonly kind: 'kill'; readonly afterSteps: number } & NextStart)
  | ({ readonly kind: 'stop' } & NextStart)
  | { readonly kind: 'suspend' }
  | { readonly kind: 'disk'; readonly how: 'write' | 'sync' | 'read' | 'full'; readonly probability: number }
  /** A copy of the state is made at `from`; at the end a block of the file is overwritten, and the operator puts the copy back or begins anew. */
  | { readonly kind: 'damage'; readonly repair: 'copy' | 'anew'; readonly place: number }

export type Fault = FaultSpan & FaultKind

export interface Plan {
  readonly seed: number
  readonly days: number
  /** Of the first start. */
  readonly services: ServiceList
  /** The configured start lies so long before START. */
  readonly startBackMs: number
  readonly requestPeriodMs: number
  readonly sweepPeriodMs: number
  readonly requestsPerDay: number
  readonly endpointMode: 'separate' | 'combined' | 'auto'
  /** How wrong the local clock is from the beginning. */
  readonly skewMs: number
  /** How a healthy endpoint ends. */
  readonly endpoint: 'close_notify' | 'fin'
  readonly faults: readonly Fault[]
}

export interface PlanOptions {
  readonly seed: number
  readonly days: number
  /** Faults for each day on average, over all families; 0: none. */
  readonly intensity?: number
}

/** A service that is added begins where the others did, which may be so long ago. */
const OLDEST_START_MS = 6 * DAY_MS
/** Of all families together, with `intensity` 1. */
const FAULTS_PER_DAY = 18

export function makePlan({ seed, days, intensity = 1 }: PlanOptions): Plan {
  const random = new Random(seed, 'plan')
  const isCalm = intensity === 0
  const endpoint = random.chance(0.75) ? 'close_notify' : 'fin'
  const arrays: readonly TapArray[] = random.chance(0.3) ? TAP_ARRAYS : random.shuffled(TAP_ARRAYS).slice(0, 1 + random.below(3))
  const plan: Omit<Plan, 'faults' | 'services'> = {
    seed,
    days,
    startBackMs: random.pick([0, 0, 5 * HOUR_MS, 2 * DAY_MS]),
    requestPeriodMs: random.pick([5, 5, 5, 5, 10, 10, 20, 1]) * MINUTE_MS,
    sweepPeriodMs: random.pick([15 * MINUTE_MS, 15 * MINUTE_MS, 0, 60 * MINUTE_MS]),
    requestsPerDay: random.pick([1_800, 1_800, 700]),
    endpointMode: new Random(seed, 'endpoint mode').pick(['separate', 'combined', 'auto']),
    skewMs: isCalm ? 0 : random.pick([0, 0, -4 * MINUTE_MS, 3 * MINUTE_MS, 40 * MINUTE_MS, -3 * HOUR_MS]),
    endpoint,
  }
  const faults = Array.from({ length: Math.round(days * FAULTS_PER_DAY * intensity) }, (_, index) =>
    drawFault(new Random(seed, 'fault', index), days * DAY_MS, endpoint))
  const all = (isCalm ? [] : [...faults, ...outages(random, days), ...refusals(new Random(seed, 'refusals'), days)]).sort((a, b) => a.from - b.from)
  return { ...plan, ...drawLists(seed, arrays, all, plan.startBackMs + days * DAY_MS <= OLDEST_START_MS) }
}

/** What is too long to be drawn every day: a day without Devo, three hours without the API, and once in a while eight days. */
function outages(random: Random, days: number): Fault[] {
  const fault = (from: number, length: number, kind: FaultKind): Fault => ({ from, until: Math.min(from + length, days * DAY_MS), ...kind })
  const some = (odds: number, ...list: Fault[]): Fault[] => (random.chance(odds) ? list : [])
  const at = (): number => random.below(days * DAY_MS)
  const how = random.pick<'refused' | 'no answer'>(['refused', 'no answer'])
  return [
    ...some(0.5, fault(at(), DAY_MS, { kind: 'devo away', how })),
    ...some(0.7, fault(at(), 3 * HOUR_MS, { kind: 'api away', how })),
    ...(days >= 10 ? some(0.5, fault(random.below((days - 9) * DAY_MS), 8 * DAY_MS, random.chance(0.5) ? { kind: 'api away', how } : { kind: 'stop' })) : []),
    ...some(0.3, { from: random.below(days * DAY_MS), until: Infinity, kind: 'api hole', minute: START + Math.floor(at() / MINUTE_MS) * MINUTE_MS }),
    ...some(0.3, fault(at(), 2 * HOUR_MS + random.below(6 * HOUR_MS), { kind: 'damage', repair: random.pick(['copy', 'anew']), place: random.next() })),
  ]
}

/** A login that is refused for an hour, as when a password is changed. */
function refusals(random: Random, days: number): Fault[] {
  const from = random.below(days * DAY_MS)
  const refused: Fault = { from, until: Math.min(from + HOUR_MS, days * DAY_MS), kind: 'api', fault: { kind: 'status', status: 401, body: 'Unauthorized' }, probability: 1 }
  return random.chance(0.5) ? [refused] : []
}

function drawFault(random: Random, end: number, endpoint: Plan['endpoint']): Fault {
  const from = random.below(end)
  const short = random.chance(0.5) ? random.below(10 * MINUTE_MS) : random.below(HOUR_MS)
  const length = random.chance(0.1) ? random.below(3 * HOUR_MS) : short
  const probability = random.pick([0.2, 0.5, 0.9, 1])
  const span = { from, until: Math.min(end, from + SECOND_MS + length) }
  const family = random.below(18)
  if (family < 7) return { ...span, ...drawApiFault(random, from, probability) }
  if (family < 12) return { ...span, ...drawDevoFault(random, probability, endpoint) }
  if (family < 15) {
    const down = { from, until: Math.min(end, from + SECOND_MS + random.below(random.chance(0.2) ? HOUR_MS : 2 * MINUTE_MS)) }
    return { ...down, ...random.pick<FaultKind>([{ kind: 'kill', afterSteps: random.below(40) }, { kind: 'kill', afterSteps: random.below(400) }, { kind: 'stop' }]) }
  }
  if (family < 17) return { ...span, kind: 'disk', how: random.pick(['write', 'sync', 'read', 'full']), probability: probability / 2 }
  const skewMs = (random.chance(0.5) ? 1 : -1) * random.below(20 * MINUTE_MS)
  return { ...span, ...random.pick<FaultKind>([{ kind: 'api clock', skewMs }, { kind: 'local clock', skewMs: random.chance(0.3) ? 9 * skewMs : skewMs }, { kind: 'suspend' }]) }
}

function drawApiFault(random: Random, from: number, probability: number): FaultKind {
  const share = 0.1 + 0.8 * random.next()
  const framing = random.pick<'length' | 'chunked' | 'close' | 'ended'>(['length', 'chunked', 'close', 'ended'])
  const status = random.pick([500, 502, 503, 504])
  const answers = random.pick<AnswerFault | TransportFault>([
    { kind: 'status', status, body: 'Service Unavailable' },
    { kind: 'status', status, body: 'Service Unavailable' },
    { kind: 'status', status: 429 },
    { kind: 'status', status: 429, retryAfter: random.below(600) },
    { kind: 'status', status: 401, body: 'Unauthorized' },
    { kind: 'status', status: 400, body: 'Bad Request' },
    { kind: 'html' },
    { kind: 'empty' },
    { kind: 'missing-array' },
    { kind: 'array', text: '{"a":1}' },
    { kind: 'trailing', text: '[]' },
    { kind: 'too-many', maxEvents: 3 },
    { kind: 'query-end', lagMs: random.below(5 * MINUTE_MS) },
    { kind: 'headers', headers: { age: '600' } },
    { kind: 'headers', headers: { date: new Date(START + from - random.below(DAY_MS)).toUTCString() } },
    { kind: 'truncate', afterBytes: share, framing },
    { kind: 'truncate', afterBytes: share, framing },
    { kind: 'reset', afterBytes: share },
    { kind: 'stall', afterBytes: null },
    { kind: 'stall', afterBytes: share },
    { kind: 'drip', bytes: 500 + random.below(4_000), everyMs: random.below(20 * SECOND_MS) },
  ])
  const minute = START + Math.floor((from - random.below(2 * HOUR_MS)) / MINUTE_MS) * MINUTE_MS
  const how = random.pick<'refused' | 'no answer' | 'no name'>(['refused', 'no answer', 'no name'])
  const kind = random.below(10)
  if (kind === 0) return { kind: 'api hole', minute }
  if (kind === 1) return { kind: 'api away', how }
  return { kind: 'api', fault: answers, probability: answers.kind === 'status' && answers.status === 401 ? 1 : probability }
}

function drawDevoFault(random: Random, probability: number, endpoint: Plan['endpoint']): FaultKind {
  const lines = 1 + random.below(8)
  const ends = random.pick<'close_notify' | 'fin'>(['close_notify', 'fin'])
  // An end within a second of the handshake: the quiet time sees it.
  const soon = random.below(800)
  const connections = random.pick<DevoBehaviour>([
    behaviours.refuseClient(),
    behaviours.endEarly('at once', { ends }),
    behaviours.endEarly({ lines }, { ends }),
    behaviours.endEarly({ afterMs: soon }, { ends, reads: 'nothing' }),
    behaviours.backendCloses(random.below(15)),
    behaviours.reset('at once'),
    behaviours.reset({ lines }),
    behaviours.reset({ afterMs: random.below(3_000) }),
    behaviours.reset('at half-close'),
    behaviours.neverEnd(),
    behaviours.stall(),
    behaviours.stall(lines),
    behaviours.slow(50 + random.below(5_000)),
  ])
  const how = random.pick<'refused' | 'no answer' | 'certificate'>(['refused', 'no answer', 'certificate'])
  const kind = random.below(10)
  if (kind === 0) return { kind: 'devo away', how }
  if (kind === 1) return { kind: 'devo backend', afterMs: random.pick([2_000, 3_000, 4_000]) }
  // A dying machine's bare FIN is told apart only from an endpoint that ends with a close_notify.
  if (kind < 4 && endpoint === 'close_notify') return random.chance(0.5) ? { kind: 'devo killed' } : { kind: 'devo', behaviour: behaviours.killed(), probability }
  return { kind: 'devo', behaviour: connections, probability }
}

export function describeFault({ from, until, ...fault }: Fault): string {
  const time = (ms: number): string => (ms === Infinity ? 'for ever' : new Date(START + ms).toISOString())
  return `${time(from)} to ${time(until)}: ${JSON.stringify(fault)}`
}
