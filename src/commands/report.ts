import type { CollectorConfig } from '../config/types.ts'
import type { BufferSnapshot } from '../pipeline/buffer.ts'
import type { Window } from '../pipeline/unit.ts'
import { poolsOf } from '../sources/proofpoint-tap/pools.ts'
import { asksForWindows } from '../sources/proofpoint-tap/services.ts'
import { feedName } from '../sources/proofpoint-tap/targets.ts'

export type Report = ReturnType<typeof reportOf>

/** Where everything stands, as `status --json` and the status page tell it. Times are ISO 8601 in UTC. */
export function reportOf(config: CollectorConfig, snapshot: BufferSnapshot, now: number) {
  const pieces = (windows: readonly (Window & { readonly reason: string })[]) =>
    windows.map(({ from, to, reason }) => ({ from: iso(from), to: iso(to), reason }))
  return {
    services: config.inputs.flatMap((input) =>
      input.services.map(({ name }) => {
        const state = snapshot.services.find(({ inputId, service }) => inputId === input.id && service === name)
        return {
          input: input.name,
          service: name,
          settled: state === undefined ? null : iso(state.settled),
          lag_seconds: state === undefined ? null : Math.max(0, Math.round((now - state.settled) / 1000)),
          last_read: state === undefined || state.readAt === 0 ? null : iso(state.readAt),
          ...(!asksForWindows({ name }) && { backlog_events: snapshot.outputs.find((output) => output.name === feedName(input, { name }))?.backlogEvents ?? null }),
          holes: pieces(state?.holes ?? []),
          gaps: pieces(state?.gaps ?? []),
        }
      }),
    ),
    pools: poolsOf(config.inputs, snapshot.pools, now),
    outputs: outputsOf(config, snapshot),
    buffer: {
      type: config.buffer.type,
      size_in_bytes: config.buffer.type === 'embedded' ? snapshot.sizeInBytes : null,
      max_size_in_bytes: config.buffer.type === 'embedded' ? config.buffer.maxSizeBytes : null,
      refused_by_the_source: snapshot.sourceDeadLetters,
    },
  }
}

/** Those of the configuration, and those that are off or gone: they may still have a backlog. */
function outputsOf(config: CollectorConfig, snapshot: BufferSnapshot) {
  const feeds = config.inputs.flatMap((input) => input.services.map((service) => feedName(input, service)))
  const configured = new Set([...feeds, ...config.outputs.map(({ name }) => name)])
  const off = snapshot.outputs.filter(({ name }) => !configured.has(name)).map(({ name }) => ({ name, type: 'off' }))
  return [...config.outputs, ...off].map(({ name, type }) => {
    const state = snapshot.outputs.find((output) => output.name === name)
    return {
      output: name,
      type,
      backlog_events: state?.backlogEvents ?? null,
      last_proof: state === undefined || state.provenAt === 0 ? null : iso(state.provenAt),
      dead_letters: state?.deadLetters ?? 0,
      missed_events: state?.missedEvents ?? 0,
    }
  })
}

const iso = (time: number): string => new Date(time).toISOString()
