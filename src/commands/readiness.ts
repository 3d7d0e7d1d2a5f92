import type { CollectorConfig } from '../config/types.ts'
import type { EventBuffer } from '../pipeline/buffer.ts'
import type { Conditions } from '../pipeline/conditions.ts'
import { STANDBY } from '../pipeline/supervisor.ts'
import type { Readiness } from '../telemetry/health.ts'

/** Ready means that every service and every output makes progress. Holes and gaps are told, and stop nothing. */
export async function readiness(config: CollectorConfig, conditions: Conditions, buffer: EventBuffer | null): Promise<Readiness> {
  const reasons = conditions.list().map(({ part, reason, since }) => ({ part, reason, since: new Date(since).toISOString() }))
  const inputNames = new Map(config.inputs.map(({ id, name }) => [id, name]))
  const services = (await buffer?.snapshot())?.services ?? []
  const parts = services.map((entry) => ({ ...entry, part: `${inputNames.get(entry.inputId) ?? entry.inputId}/${entry.service}` }))
  return {
    // a hole stops nothing: the service reads on behind it
    ready: buffer !== null && reasons.every(({ part }) => part === STANDBY || part.endsWith('/holes')),
    role: reasons.some(({ part }) => part === STANDBY) ? 'standby' : 'active',
    reasons: buffer === null && reasons.length === 0 ? [{ part: 'buffer', reason: 'opening', since: new Date().toISOString() }] : reasons,
    holes: parts.flatMap(({ part, holes }) => holes.map((hole) => ({ part, ...hole }))),
    gaps: parts.flatMap(({ part, gaps }) => gaps.map((gap) => ({ part, ...gap }))),
  }
}
