import type { Logger } from 'pino'
import type { GroupOffset } from '../../kafka/group-offsets.ts'
import type { PartitionReader } from '../../kafka/partition-reader.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import type { Offsets } from './cursor.ts'
import { provenAtOf } from './group-positions.ts'
import type { Topics } from './topics.ts'
import { RECORD_TIME_MAX_AGE_MS } from './unit-records.ts'

interface StartOptions {
  /** By partition of the share; null where the group has nothing. */
  readonly committed: ReadonlyMap<number, GroupOffset | null>
  /** Where the output began, as the state topic says. */
  readonly begin: Offsets
  readonly reader: Pick<PartitionReader, 'offsets'>
  readonly output: string
  readonly topics: Topics
  readonly log: Logger
}

export interface StartPositions {
  readonly positions: ReadonlyMap<number, GroupOffset>
  /** Offsets between what was delivered and the log's start: the events that retention took, and the ends of their transactions. */
  readonly missedEvents: number
  /** They are not what is committed. */
  readonly hasMoved: boolean
}

/** How long a shipment may have been under way when its last events were proven, and some more. */
const IN_FLIGHT_MS = 3_600_000

/** Where a share goes on, partition by partition. Throws RetryableError where the broker has forgotten how far the output was. */
export async function startPositions(options: StartOptions): Promise<StartPositions> {
  const { committed, begin, reader } = options
  // Asked for last: a log that ends before a position then is shorter than it was.
  const [starts, ends] = [await reader.offsets('earliest'), await reader.offsets('latest')]
  const positions = new Map<number, GroupOffset>()
  let missedEvents = 0
  let hasMoved = false
  for (const [partition, position] of committed) {
    const start = starts.get(partition) ?? 0
    // A partition that was added since has no offset yet and is read from its start; one of the beginning had one.
    if (position === null && begin.has(partition)) throw forgotten(options)
    const { offset, metadata } = position ?? { offset: start, metadata: '' }
    missedEvents += Math.max(0, start - offset)
    const end = ends.get(partition) ?? Infinity
    const from = offset > end ? await rewound(options, partition, { offset, metadata }, end) : Math.max(start, offset)
    hasMoved ||= position !== null && from !== offset
    positions.set(partition, { offset: from, metadata })
  }
  return { positions, missedEvents, hasMoved }
}

/**
 * The brokers have lost what this output already has (a leader was elected that had not got it), and offsets are given a second time. What was
 * appended since has a record time that is not older than its appending by more than `RECORD_TIME_MAX_AGE_MS`.
 */
async function rewound(
  { reader, output, topics, log }: StartOptions,
  partition: number,
  { offset, metadata }: GroupOffset,
  end: number,
): Promise<number> {
  const timestamp = Math.max(0, provenAtOf(metadata) - RECORD_TIME_MAX_AGE_MS - IN_FLIGHT_MS)
  const from = (await reader.offsets({ timestamp })).get(partition) ?? 0
  log.error(
    { code: 'KafkaEventsLost', output, partition, offset, end, from },
    `Partition ${partition} of ${topics.events} ends at offset ${end}, and ${output} was at ${offset}: the brokers have lost events. ` +
      `It goes on with those since ${new Date(timestamp).toISOString()}; some may come again`,
  )
  return from
}

function forgotten({ output, topics }: StartOptions): RetryableError {
  const group = topics.outputGroup(output)
  return new RetryableError(
    `the broker has forgotten how far output ${output} was: the group ${group} has no offsets (its offsets.retention.minutes is shorter than the ` +
      'output was off, or they were deleted). Say where it goes on: kafka-consumer-groups.sh --bootstrap-server ... --reset-offsets --execute ' +
      `--group ${group} --topic ${topics.events} --to-earliest (events may come again), --to-datetime or --to-latest (what is in the buffer is ` +
      'not sent to it); or give the output another name, with start_from: oldest or now',
    { code: 'KafkaOffsetsForgotten' },
  )
}
