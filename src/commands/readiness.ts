import type { CollectorConfig } from '../config/types.ts'
import { label } from '../pipeline/codes.ts'
import { isBelow, type Conditions } from '../pipeline/conditions.ts'
import { STANDBY } from '../pipeline/supervisor.ts'
import type { Readiness } from '../telemetry/health.ts'
import type { SecretScrubber } from '../telemetry/secrets.ts'
import type { BufferLook } from './look.ts'

/**
 * Ready means that every service and every output makes progress; who stands by has no services. Holes and gaps are told, and stop nothing. Reasons may
 * be what others have said, plug-ins for instance, so they leave without secrets.
 */
export async function readiness(config: CollectorConfig, conditions: Conditions, look: BufferLook, scrubber: SecretScrubber): Promise<Readiness> {
  const listed = conditions.list()
  const isStandby = listed.some(({ part }) => part === STANDBY)
  const ofServices = config.inputs.flatMap(({ name, services }) => services.map((service) => `${name}/${service.name}`))
  const reasons = listed
    .filter(({ part }) => !isStandby || !ofServices.some((service) => isBelow(part, service)))
    .map(({ part, code, reason, since }) => ({ part, code: code && label(code), reason, since: new Date(since).toISOString() }))
  const inputNames = new Map(config.inputs.map(({ id, name }) => [id, name]))
  const snapshot = await look.take()
  if (look.isOpen && snapshot === null) reasons.push({ part: 'buffer', code: label('BufferUnavailable'), reason: 'does not answer', since: new Date().toISOString() })
  const parts = (snapshot?.services ?? []).map((entry) => ({ ...entry, part: `${inputNames.get(entry.inputId) ?? entry.inputId}/${entry.service}` }))
  const clean = <T extends { readonly reason: string }>(all: readonly T[]): T[] => all.map((one) => ({ ...one, reason: scrubber.scrub(one.reason) }))
  return {
    // a hole stops nothing: the service reads on behind it
    ready: look.isOpen && reasons.every(({ part }) => part === STANDBY || part.endsWith('/holes')),
    role: isStandby ? 'standby' : 'active',
    reasons: !look.isOpen && reasons.length === 0 ? [{ part: 'buffer', code: null, reason: 'opening', since: new Date().toISOString() }] : clean(reasons),
    // What another service has taken over is no longer tried, and told, under the old name.
    holes: clean(parts.filter(({ part }) => ofServices.includes(part)).flatMap(({ part, holes }) => holes.map((hole) => ({ part, ...hole })))),
    gaps: clean(parts.flatMap(({ part, gaps }) => gaps.map((gap) => ({ part, ...gap })))),
  }
}
