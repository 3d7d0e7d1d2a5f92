import type { Logger } from 'pino'
import type { KafkaClient } from '../../kafka/client.ts'
import { GroupMember, type Assignment, type GroupTimeouts } from '../../kafka/group-member.ts'
import { PartitionReader, PositionOutOfRangeError, type FetchedPartition, type FetchOptions } from '../../kafka/partition-reader.ts'
import type { OutputShare } from '../../pipeline/buffer.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import { cursorOf, type Offsets } from './cursor.ts'
import { groupOffsets } from './group-positions.ts'
import { startPositions } from './start-positions.ts'
import type { Topics } from './topics.ts'

const POLL_MS = 2_000
const POLL_BYTES = 64 * 1024

export interface KafkaOutputOptions {
  readonly client: KafkaClient
  readonly topics: Topics
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
  readonly groupTimeouts: GroupTimeouts
  /** Where the output began, partition by partition, as the state topic says. */
  readonly begin: Offsets
  /** Writes down durably that the topic's retention took events before this output had them. */
  readonly onMissed: (events: number) => Promise<void>
}

/** One output's part in its consumer group: which partitions it reads here, and how far each is delivered. */
export class KafkaOutput {
  /** For shipments; another one waits, for a broker answers the requests of one connection in order. */
  readonly #reader: PartitionReader
  readonly #waiter: PartitionReader
  readonly #member: GroupMember
  readonly #options: KafkaOutputOptions
  #assignment: Assignment | null = null
  /** Aborts when the topic no longer has what the share reads. */
  #outOfRange = new AbortController()
  readonly #committed = new Map<number, number>()

  constructor(options: KafkaOutputOptions) {
    const { client, topics, name, clock, log, groupTimeouts } = options
    this.#options = options
    this.#reader = new PartitionReader(client, topics.events)
    this.#waiter = new PartitionReader(client, topics.events)
    this.#member = new GroupMember(client, { groupId: topics.outputGroup(name), topic: topics.events, clock, log, ...groupTimeouts })
  }

  /**
   * Joins the group and waits for a share, which may be empty. Throws RetryableError where the broker has forgotten how far it was, and holds
   * nothing then: a person can say where it goes on only while the group is empty.
   */
  async takeShare(signal: AbortSignal): Promise<OutputShare> {
    await this.#assignment?.release()
    this.#assignment = null
    const assignment = await this.#member.join(signal)
    try {
      const { log, name, topics, begin, onMissed } = this.#options
      const committed = await assignment.committed()
      const { positions, missedEvents, hasMoved } = await startPositions({ committed, begin, reader: this.#reader, output: name, topics, log })
      const offsets = new Map([...positions].map(([partition, { offset }]) => [partition, offset]))
      this.#committed.clear()
      for (const [partition, offset] of offsets) this.#committed.set(partition, offset)
      if (missedEvents > 0) await onMissed(missedEvents)
      if (hasMoved) await assignment.commit(positions)
      const outOfRange = new AbortController()
      this.#outOfRange = outOfRange
      this.#assignment = assignment
      return {
        cursor: cursorOf(offsets),
        missedEvents,
        ending: AbortSignal.any([assignment.ending, outOfRange.signal]),
        lost: assignment.lost,
        release: () => assignment.release(),
      }
    } catch (error) {
      await this.#member.leave()
      throw error
    }
  }

  /** For shipments. What the topic no longer has ends the share: the next one begins where there is something, and tells the gap. */
  fetch(positions: Offsets, options: FetchOptions): Promise<readonly FetchedPartition[]> {
    return this.#fetch(this.#reader, positions, options)
  }

  /** Never moves back. Throws RetryableError where the share is gone or the broker away. */
  async commit(offsets: Offsets): Promise<void> {
    const assignment = this.#assignment
    if (assignment === null) throw new RetryableError(`output ${this.#options.name} has no share of the events now`, { code: 'KafkaGroupLost' })
    const moved = new Map([...offsets].map(([partition, offset]) => [partition, Math.max(offset, this.#committed.get(partition) ?? 0)]))
    await assignment.commit(groupOffsets(moved, this.#options.clock.now()))
    for (const [partition, offset] of moved) this.#committed.set(partition, offset)
  }

  /** Resolves as soon as an event lies beyond; control records are no events. */
  async waitBeyond(offsets: Offsets, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (offsets.size === 0) return aborted(signal)
    const positions = new Map(offsets)
    for (;;) {
      const pages = await this.#fetch(this.#waiter, positions, { maxBytes: POLL_BYTES, maxWaitMs: POLL_MS, minBytes: 1, signal })
      signal.throwIfAborted()
      if (pages.some(({ records }) => records.length > 0)) return
      for (const { partition, nextOffset } of pages) positions.set(partition, nextOffset)
    }
  }

  async close(): Promise<void> {
    await this.#assignment?.release()
    this.#assignment = null
    await Promise.all([this.#member.close(), this.#reader.close(), this.#waiter.close()])
  }

  async #fetch(reader: PartitionReader, positions: Offsets, options: FetchOptions): Promise<readonly FetchedPartition[]> {
    try {
      return await reader.fetch(positions, options)
    } catch (error) {
      if (error instanceof PositionOutOfRangeError) this.#outOfRange.abort(error)
      throw error
    }
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    // The signal's own reason, as everywhere.
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
