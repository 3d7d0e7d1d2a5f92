import type { PassRules } from './steps.ts'
import type { RequestLimit } from './quotas.ts'
import { HOUR_MS, MINUTE_MS } from './windows.ts'

/** What is left for repetitions once a period had to be stretched. */
const SPARE = 0.95
const STEP = 1.01
const LONGEST_FACTOR = 1e6

/** Requests that a service makes in `spanMs` once it has caught up: light passes and, in between, full ones. */
export function expectedRequests({ periodMs, lookBackMs, sweepPeriodMs }: PassRules, spanMs: number): number {
  const passesInCycle = Math.max(1, Math.ceil((sweepPeriodMs - periodMs / 2) / periodMs))
  const light = Math.ceil((periodMs + 2 * MINUTE_MS) / HOUR_MS)
  const full = Math.ceil((lookBackMs + passesInCycle * periodMs - MINUTE_MS / 2) / HOUR_MS)
  return (((passesInCycle - 1) * light + full) * spanMs) / (passesInCycle * periodMs)
}

/** By how much the periods of all services of a pool have to be stretched so that its limits hold; 1: they fit. */
export function stretchFactor(services: readonly PassRules[], limits: readonly RequestLimit[]): number {
  const fits = (factor: number, share: number): boolean =>
    limits.every(({ periodMs, requests }) => {
      const stretched = services.map((rules) => ({ ...rules, periodMs: rules.periodMs * factor }))
      return stretched.reduce((sum, rules) => sum + expectedRequests(rules, periodMs), 0) <= requests * share
    })
  if (fits(1, 1)) return 1
  let factor = STEP
  while (!fits(factor, SPARE) && factor < LONGEST_FACTOR) factor *= STEP
  return factor
}
