import type { BufferSnapshot } from '../../src/pipeline/buffer.ts'
import { kindsOf } from '../../src/sources/proofpoint-tap/services.ts'
import { DAY_MS, MINUTE_MS } from '../../src/simulator/tap-api.ts'
import type { SentRequest } from './api.ts'
import type { Ledger } from './ledger.ts'
import type { Plan } from './plan.ts'
import type { ServiceList } from './service-lists.ts'
import type { ExpectedEvent } from './traffic.ts'

export interface Evidence {
  readonly plan: Plan
  /** What runs at the end. */
  readonly inputId: string
  readonly services: ServiceList
  readonly ledger: Ledger
  /** Null: the collector was not running at the end. */
  readonly snapshot: BufferSnapshot | null
  readonly requests: readonly SentRequest[]
  readonly givenUpBefore: number
  readonly shipmentsInFlight: number
  /** When the quota log was lost, or a clock that went forward made minutes old before their time. */
  readonly forgotten: readonly number[]
  readonly openConnections: number
}

/** What must hold at the end of a run; the ledger gets what does not. */
export function checkRun(evidence: Evidence): void {
  const { ledger, snapshot, shipmentsInFlight, openConnections } = evidence
  ledger.checkKills(shipmentsInFlight)
  checkQuota(evidence)
  if (openConnections > 0) ledger.report('connections are left', String(openConnections))
  if (snapshot === null) {
    ledger.report('does not run', 'the collector is down at the end')
    return
  }
  checkHoles(evidence, snapshot)
  for (const { from, to, service } of evidence.forgotten.length > 0 ? [] : ledger.gaps) {
    const told = snapshot.services.flatMap((state) => (state.service === service ? state.gaps : []))
    if (!told.some((gap) => gap.from === from && gap.to === to)) ledger.report('a gap is not told', `${service} ${writeWindow(from, to)}`)
  }
  for (const event of ledger.missing()) {
    if (isExcused(event, evidence, snapshot)) continue
    const where = ledger.isBuffered(event.key) ? 'not delivered' : 'lost'
    ledger.report(where, `${event.key} of ${new Date(event.createdAt).toISOString()}`, event.key)
  }
}

/** Whether the collector, or its operator, has told that the event is not to come. */
function isExcused({ origin, createdAt }: ExpectedEvent, evidence: Evidence, snapshot: BufferSnapshot): boolean {
  const { ledger, givenUpBefore } = evidence
  const brings = ({ service }: { readonly service: string }): boolean => kindsOf(service).includes(origin)
  const pieces = [...running(evidence, snapshot).filter(brings).flatMap(({ holes }) => holes), ...ledger.gaps.filter(brings)]
  return createdAt < givenUpBefore || pieces.some(({ from, to }) => createdAt >= from && createdAt < to)
}

/** What was taken out stands where it was left. */
function running({ inputId, services }: Evidence, snapshot: BufferSnapshot): BufferSnapshot['services'] {
  return snapshot.services.filter((state) => state.inputId === inputId && services.some((name) => name === state.service))
}

/** Only what the API cannot serve to the end may be a hole at the end. */
function checkHoles(evidence: Evidence, snapshot: BufferSnapshot): void {
  const { plan, ledger } = evidence
  const minutes = plan.faults.flatMap((fault) => (fault.kind === 'api hole' && fault.until === Infinity ? [fault.minute] : []))
  for (const { service, holes } of running(evidence, snapshot)) {
    for (const { from, to } of holes) {
      const isTrue = minutes.some((minute) => from <= minute + MINUTE_MS && to >= minute)
      if (!isTrue || to - from > 2 * MINUTE_MS) ledger.report('a hole that need not be', `${service} ${writeWindow(from, to)}`)
    }
  }
}

function checkQuota({ plan, ledger, requests, forgotten }: Evidence): void {
  for (const pool of ['siem', 'clicks_permitted'] as const) {
    const times = requests.filter((request) => request.pool === pool).map(({ time }) => time)
    let first = 0
    let most = 0
    for (const [index, time] of times.entries()) {
      while ((times[first] ?? 0) <= time - DAY_MS) first += 1
      if (forgotten.some((at) => at > time - DAY_MS && at <= time)) continue
      most = Math.max(most, index - first + 1)
    }
    if (most > plan.requestsPerDay) ledger.report('too many requests', `${most} in 24 h in pool ${pool}, ${plan.requestsPerDay} are allowed`)
  }
}

function writeWindow(from: number, to: number): string {
  return `${new Date(from).toISOString()} to ${new Date(to).toISOString()}`
}
