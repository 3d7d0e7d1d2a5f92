import type { CollectorConfig } from '../config/types.ts'
import type { BufferSnapshot } from '../pipeline/buffer.ts'
import { describeError } from '../pipeline/errors.ts'
import type { Window } from '../pipeline/unit.ts'
import { poolsOf } from '../sources/proofpoint-tap/pools.ts'
import { asksForWindows } from '../sources/proofpoint-tap/services.ts'
import { feedName } from '../sources/proofpoint-tap/targets.ts'
import { readBuffer } from './buffer.ts'
import { EXIT } from './exit.ts'
import { load, loggerFor, logWarnings, type ConfigOption } from './load.ts'
import { tellTrouble } from './tell.ts'
import { table } from './table.ts'

/** `status`: where everything stands, read beside a running collector or without one. */
export async function status(options: ConfigOption & { readonly json?: true }): Promise<number> {
  const { config, warnings } = await load(options, { checkCertificates: false })
  const log = loggerFor(config, 2)
  logWarnings(log, warnings)
  let snapshot: BufferSnapshot
  try {
    snapshot = await readBuffer(config, log)
  } catch (error) {
    tellTrouble(`The state cannot be read: ${describeError(error)}`, { code: 'StateUnreadable', err: error })
    return EXIT.unreachable
  }
  const report = describe(config, snapshot, Date.now())
  process.stdout.write(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : render(report))
  return EXIT.ok
}

type Report = ReturnType<typeof describe>

function describe(config: CollectorConfig, snapshot: BufferSnapshot, now: number) {
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

function render(report: Report): string {
  const { services, pools, outputs, buffer } = report
  return [
    table(
      ['SERVICE', 'SETTLED', 'LAG', 'LAST READ', 'HOLES', 'GAPS'],
      services.map((row) => [
        `${row.input}/${row.service}`,
        row.settled ?? 'not started',
        row.lag_seconds === null ? '-' : duration(row.lag_seconds),
        row.last_read ?? 'never',
        String(row.holes.length),
        String(row.gaps.length),
      ]),
    ),
    ...services.flatMap((row) => [
      ...(typeof row.backlog_events === 'number' && row.backlog_events > 0 ? [`${row.input}/${row.service} has ${row.backlog_events} events yet to look at\n`] : []),
      ...row.holes.map(
        ({ from, to, reason }) => `hole in ${row.input}/${row.service}: ${from} to ${to}, tried again every hour: ${reason}\n`,
      ),
      ...row.gaps.map(({ from, to, reason }) => `gap in ${row.input}/${row.service}: ${from} to ${to} is lost: ${reason}\n`),
    ]),
    '\n',
    table(
      ['POOL', 'REQUESTS LEFT', 'OF', 'USED IN 24 H'],
      pools.map((row) => [`${row.input}/${row.pool}`, String(row.remaining ?? 'no limit'), String(row.limit ?? '-'), String(row.used)]),
    ),
    '\n',
    table(
      ['OUTPUT', 'TYPE', 'BACKLOG', 'LAST PROOF', 'DEAD LETTERS'],
      outputs.map((row) => [
        row.output,
        row.type,
        row.backlog_events === null ? 'not started' : `${row.backlog_events} events`,
        row.last_proof ?? 'never',
        String(row.dead_letters),
      ]),
    ),
    ...outputs.flatMap(({ output, missed_events }) =>
      missed_events > 0 ? [`gap in ${output}: ${missed_events} events were gone from the buffer before it had them\n`] : [],
    ),
    `\nBuffer: ${buffer.type}`,
    buffer.size_in_bytes === null || buffer.max_size_in_bytes === null
      ? ''
      : `, ${megabytes(buffer.size_in_bytes)} of ${megabytes(buffer.max_size_in_bytes)} used`,
    buffer.refused_by_the_source > 0
      ? `; ${buffer.refused_by_the_source} events were refused as malformed and are kept as dead letters\n`
      : '\n',
  ].join('')
}

const iso = (time: number): string => new Date(time).toISOString()
const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MB`

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`
  if (seconds < 2 * 86_400) return `${(seconds / 3600).toFixed(1)} h`
  return `${(seconds / 86_400).toFixed(1)} d`
}
