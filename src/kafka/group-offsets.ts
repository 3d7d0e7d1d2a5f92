import { Backoff } from '../pipeline/backoff.ts'
import { systemClock } from '../pipeline/clock.ts'
import type { KafkaClient } from './client.ts'
import { errorTypes, explainKafkaError } from './errors.ts'
import { GroupConnection } from './group-connection.ts'
import type { Broker } from './internals.ts'

export interface GroupOffset {
  /** Of the next record that the group wants. */
  readonly offset: number
  /** Kept beside it by the broker, 4 KB at most. */
  readonly metadata: string
}

interface WireOffset {
  readonly partition: number
  readonly offset: string
  readonly metadata: string
}

/** The coordinator is being elected or loads what it knows: a matter of seconds. */
const MOVING = new Set(['NOT_COORDINATOR_FOR_GROUP', 'GROUP_COORDINATOR_NOT_AVAILABLE', 'GROUP_LOAD_IN_PROGRESS'])
const TRIES = 5

/**
 * What a group has committed, without being a member; null for a partition that it has nothing of. Throws RetryableError while the broker
 * is away, FatalError where it may not be asked.
 */
export function readOffsets(
  client: KafkaClient,
  groupId: string,
  topic: string,
  partitions: readonly number[],
): Promise<Map<number, GroupOffset | null>> {
  return withCoordinator(client, groupId, topic, `reading the offsets of ${groupId}`, (broker) => fetchOffsets(broker, groupId, topic, partitions))
}

/** Commits for a group that has no member. Throws GroupLostError where it has one, else as `readOffsets`. */
export async function commitOffsets(client: KafkaClient, groupId: string, topic: string, offsets: ReadonlyMap<number, GroupOffset>): Promise<void> {
  const partitions = wireOffsets(offsets)
  await withCoordinator(client, groupId, topic, `committing the offsets of ${groupId}`, (broker) =>
    broker.offsetCommit({ groupId, groupGenerationId: -1, memberId: '', topics: [{ topic, partitions }] }),
  )
}

/** How many members a group has now; a group that nobody ever joined has none. */
export async function describeGroup(client: KafkaClient, groupId: string): Promise<{ readonly members: number }> {
  const admin = client.admin()
  try {
    await admin.connect()
    const { groups } = await admin.describeGroups([groupId])
    return { members: groups[0]?.members.length ?? 0 }
  } catch (error) {
    throw explainKafkaError(error, `asking for the members of ${groupId}`)
  } finally {
    await admin.disconnect().catch(() => undefined)
  }
}

export async function fetchOffsets(
  broker: Broker,
  groupId: string,
  topic: string,
  partitions: readonly number[],
): Promise<Map<number, GroupOffset | null>> {
  if (partitions.length === 0) return new Map()
  const asked = partitions.map((partition) => ({ partition }))
  const { responses } = await broker.offsetFetch({ groupId, topics: [{ topic, partitions: asked }] })
  const found = new Map(responses.flatMap((response) => response.partitions).map((entry) => [entry.partition, entry]))
  return new Map(
    partitions.map((partition) => {
      const entry = found.get(partition)
      // The broker says -1 where nothing was committed.
      if (entry === undefined || Number(entry.offset) < 0) return [partition, null]
      return [partition, { offset: Number(entry.offset), metadata: entry.metadata ?? '' }]
    }),
  )
}

export function wireOffsets(offsets: ReadonlyMap<number, GroupOffset>): WireOffset[] {
  return [...offsets].map(([partition, { offset, metadata }]) => ({ partition, offset: String(offset), metadata }))
}

export function isCoordinatorMoving(error: unknown): boolean {
  return errorTypes(error).some((type) => MOVING.has(type))
}

async function withCoordinator<Result>(
  client: KafkaClient,
  groupId: string,
  topic: string,
  doing: string,
  work: (broker: Broker) => Promise<Result>,
): Promise<Result> {
  const connection = new GroupConnection(client, groupId, topic)
  const backoff = new Backoff(100, 1_000)
  try {
    for (;;) {
      try {
        return await connection.run(work)
      } catch (error) {
        if (!isCoordinatorMoving(error) || backoff.failures >= TRIES) throw explainKafkaError(error, doing)
      }
      await systemClock.sleep(backoff.next())
    }
  } finally {
    connection.abandon()
  }
}
