import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { OUTPUT_TYPES, type OutputTypeName } from '../config/output-types.ts'
import type { CollectorConfig, OutputConfig } from '../config/types.ts'
import type { BufferSnapshot } from '../pipeline/buffer.ts'
import type { Counters } from '../pipeline/counters.ts'
import { SECOND_MS } from '../pipeline/time.ts'
import { poolsOf } from '../sources/proofpoint-tap/pools.ts'
import { TAP_SERVICES } from '../sources/proofpoint-tap/services.ts'
import type { Reading } from '../telemetry/metrics.ts'

/** What the metrics show of the state: of what is configured alone, for the mark of a service that is gone would look like a delay that grows. */
export async function readings(config: CollectorConfig, snapshot: BufferSnapshot | null, now: number): Promise<readonly Reading[]> {
  const ofState = snapshot === null ? [] : [...servicesIn(config, snapshot), ...outputsIn(config, snapshot), ...poolsIn(config, snapshot, now)]
  return [...ofState, ...(await certificatesOf(config))]
}

/** Every counter that is sure to be wanted begins with 0: a first failure is an increase only of something that was there before. */
export function beginCounting(config: CollectorConfig, counters: Counters): void {
  counters.add('dead_letters_total', { output: '', reason: 'malformed' }, 0)
  for (const { name: output } of config.outputs) {
    counters.add('dead_letters_total', { output, reason: 'refused' }, 0)
    for (const result of ['delivered', 'failed'] as const) counters.add('delivery_attempts_total', { output, result }, 0)
  }
  for (const { name: input, services } of config.inputs) {
    for (const { name: service } of services) {
      counters.add('events_received_total', { input, service }, 0)
      counters.add('events_duplicate_total', { input, service }, 0)
      counters.add('api_requests_total', { pool: TAP_SERVICES[service].pool, status: '200' }, 0)
    }
  }
}

function servicesIn({ inputs }: CollectorConfig, snapshot: BufferSnapshot): Reading[] {
  return inputs.flatMap(({ id, name: input, services }) =>
    services.flatMap(({ name: service }): Reading[] => {
      const state = snapshot.services.find((entry) => entry.inputId === id && entry.service === service)
      if (state === undefined) return []
      const labels = { input, service }
      const lostMs = state.gaps.reduce((sum, { from, to }) => sum + to - from, 0)
      return [
        { name: 'settled_timestamp_seconds', labels, value: state.settled / SECOND_MS },
        { name: 'gap_seconds_total', labels, value: lostMs / SECOND_MS },
        { name: 'holes', labels, value: state.holes.length },
      ]
    }),
  )
}

function outputsIn({ outputs }: CollectorConfig, snapshot: BufferSnapshot): Reading[] {
  return outputs.flatMap(({ name: output }): Reading[] => {
    const state = snapshot.outputs.find(({ name }) => name === output)
    return state === undefined ? [] : [{ name: 'output_backlog_events', labels: { output }, value: state.backlogEvents }]
  })
}

/** Of a pool that several credentials have, the one that runs out first. */
function poolsIn({ inputs }: CollectorConfig, snapshot: BufferSnapshot, now: number): Reading[] {
  const fewest = new Map<string, number>()
  for (const { pool, remaining } of poolsOf(inputs, snapshot.pools, now)) {
    if (remaining !== null) fewest.set(pool, Math.min(remaining, fewest.get(pool) ?? Infinity))
  }
  return [...fewest].map(([pool, value]) => ({ name: 'api_requests_remaining', labels: { pool }, value }))
}

/** Read anew each time, for new files count from the next connection. What cannot be read is left out: the output itself says so louder. */
export async function certificatesOf({ outputs }: Pick<CollectorConfig, 'outputs'>): Promise<Reading[]> {
  const found = await Promise.all(
    outputs.map(async (output): Promise<Reading[]> => {
      const file = certificateOf(output)
      if (file === null) return []
      try {
        const { validToDate } = new X509Certificate(await readFile(file))
        return [{ name: 'certificate_expiry_timestamp_seconds', labels: { output: output.name }, value: validToDate.getTime() / SECOND_MS }]
      } catch {
        return []
      }
    }),
  )
  return found.flat()
}

function certificateOf<K extends OutputTypeName>({ type, config }: OutputConfig<K>): string | null {
  return OUTPUT_TYPES[type].clientCertificate?.(config) ?? null
}
