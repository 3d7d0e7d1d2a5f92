import type { BufferSnapshot } from '../pipeline/buffer.ts'
import { describeError } from '../pipeline/errors.ts'
import { readBuffer } from './buffer.ts'
import { EXIT } from './exit.ts'
import { load, loggerFor, logWarnings, type ConfigOption } from './load.ts'
import { reportOf, type Report } from './report.ts'
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
  const report = reportOf(config, snapshot, Date.now())
  process.stdout.write(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : render(report))
  return EXIT.ok
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

const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MB`

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`
  if (seconds < 2 * 86_400) return `${(seconds / 3600).toFixed(1)} h`
  return `${(seconds / 86_400).toFixed(1)} d`
}
