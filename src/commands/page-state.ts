import type { CollectorConfig } from '../config/types.ts'
import type { BufferSnapshot } from '../pipeline/buffer.ts'
import { label } from '../pipeline/codes.ts'
import { isBelow, type Condition, type Conditions } from '../pipeline/conditions.ts'
import { SECOND_MS } from '../pipeline/time.ts'
import type { HourlyEvents } from '../telemetry/hourly-events.ts'
import type { SecretScrubber } from '../telemetry/secrets.ts'
import type { BufferLook } from './look.ts'
import { readiness } from './readiness.ts'
import { certificatesOf } from './readings.ts'
import { reportOf } from './report.ts'
import { version } from './version.ts'

const NOTHING_READ: BufferSnapshot = { services: [], outputs: [], sourceDeadLetters: 0, pools: [], sizeInBytes: 0, maxSizeInBytes: 0 }

export interface PageStateOptions {
  readonly config: CollectorConfig
  readonly conditions: Conditions
  readonly look: BufferLook
  readonly hours: HourlyEvents
  readonly scrubber: SecretScrubber
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly now: number
}

/** What the status page shows: what `status` tells, why parts wait, and what only the running process knows. Where the buffer does not answer, its last answer. */
export async function pageState({ config, conditions, look, hours, scrubber, startedAt, now }: PageStateOptions) {
  // It takes the look that is also meant here.
  const { ready, role, reasons } = await readiness(config, conditions, look, scrubber)
  const report = reportOf(config, look.latest ?? NOTHING_READ, now)
  const expiries = new Map((await certificatesOf(config)).map(({ labels, value }) => [labels.output, value * SECOND_MS]))
  return {
    name: config.name,
    version: version(),
    time: iso(now),
    started_at: iso(startedAt),
    read_at: look.latestAt === null ? null : iso(look.latestAt),
    ready,
    role,
    reasons,
    codes: { gap: label('Gap'), hole: label('Hole'), missed: label('OutputMissedEvents') },
    services: report.services.map((row) => ({
      ...row,
      last_error: lastError(conditions, `${row.input}/${row.service}`),
      new_events_by_hour: hours.of(row),
    })),
    pools: look.latest === null ? [] : report.pools,
    outputs: report.outputs.map((row) => {
      const expiry = expiries.get(row.output)
      return { ...row, certificate_expires: expiry === undefined ? null : iso(expiry), last_error: lastError(conditions, row.output) }
    }),
    buffer: report.buffer,
  }
}

/** The latest of those that last, else the last that is over. */
function lastError(conditions: Conditions, part: string) {
  const [present] = conditions.list().filter((known) => isBelow(known.part, part)).sort((one, other) => other.since - one.since)
  if (present !== undefined) return { ...told(present), ended_at: null }
  const past = conditions.past(part)
  return past === null ? null : { ...told(past), ended_at: iso(past.endedAt) }
}

function told({ reason, code, since }: Condition) {
  return { code: code && label(code), reason, since: iso(since) }
}

const iso = (time: number): string => new Date(time).toISOString()
