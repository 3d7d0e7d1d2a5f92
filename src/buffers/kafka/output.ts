import type { Logger } from 'pino'
import type { KafkaClient } from '../../kafka/client.ts'
import { GroupMember, type Assignment } from '../../kafka/group-member.ts'
import { PartitionReader } from '../../kafka/partition-reader.ts'
import type { OutputShare } from '../../pipeline/buffer.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import { cursorOf, type Offsets } from './cursor.ts'
import type { Topics } from './topics.ts'

const POLL_MS = 2_000
const POLL_BYTES = 64 * 1024

export interface KafkaOutputOptions {
  readonly client: KafkaClient
  readonly topics: Topics
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
  /** Where the output began, partition by partition, as the state topic says. */
  readonly begin: Offsets
  /** Writes down durably that the topic's retention took events before this output had them. */
  readonly onMissed: (events: number) => Promise<void>
}

/** One output's part in its consumer group: which partitions it reads here, and how far each is delivered. */
export class KafkaOutput {
  /** For shipments; another one waits, for a broker answers the requests of one connection in order. */
  readonly reader: PartitionReader
  readonly #waiter: PartitionReader
  readonly #member: GroupMember
  readonly #options: KafkaOutputOptions
  #assignment: Assignment | null = null
  readonly #committed = new Map<number, number>()

  constructor(options: KafkaOutputOptions) {
    const { client, topics, name, clock, log } = options
    this.#options = options
    this.reader = new PartitionReader(client, topics.events)
    this.#waiter = new PartitionReader(client, topics.events)
    this.#member = new GroupMember(client, { groupId: topics.outputGroup(name), topic: topics.events, clock, log })
  }

  /** Joins the group and waits for a share, which may be empty. Throws RetryableError where the broker has forgotten how far it was. */
  async takeShare(signal: AbortSignal): Promise<OutputShare> {
    await this.#assignment?.release()
    this.#assignment = null
    const assignment = await this.#member.join(signal)
    try {
      const offsets = new Map<number, number>()
      let missedEvents = 0
      const earliest = await this.reader.offsets('earliest')
      for (const [partition, committed] of await assignment.committed()) {
        const start = earliest.get(partition) ?? 0
        const from = committed?.offset ?? this.#beginOf(partition, start)
        missedEvents += Math.max(0, start - from)
        offsets.set(partition, Math.max(start, from))
      }
      this.#committed.clear()
      for (const [partition, offset] of offsets) this.#committed.set(partition, offset)
      if (missedEvents > 0) {
        await this.#options.onMissed(missedEvents)
        await assignment.commit(withMetadata(offsets, 0))
      }
      this.#assignment = assignment
      return {
        cursor: cursorOf(offsets),
        missedEvents,
        ending: assignment.ending,
        lost: assignment.lost,
        release: () => assignment.release(),
      }
    } catch (error) {
      await assignment.release()
      throw error
    }
  }

  /** Never moves back. Throws RetryableError where the share is gone or the broker away. */
  async commit(offsets: Offsets): Promise<void> {
    const assignment = this.#assignment
    if (assignment === null) throw new RetryableError(`output ${this.#options.name} has no share of the events now`)
    const moved = new Map([...offsets].map(([partition, offset]) => [partition, Math.max(offset, this.#committed.get(partition) ?? 0)]))
    await assignment.commit(withMetadata(moved, this.#options.clock.now()))
    for (const [partition, offset] of moved) this.#committed.set(partition, offset)
  }

  /** Resolves as soon as an event lies beyond; control records are no events. */
  async waitBeyond(offsets: Offsets, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (offsets.size === 0) return aborted(signal)
    const positions = new Map(offsets)
    for (;;) {
      const pages = await this.#waiter.fetch(positions, { maxBytes: POLL_BYTES, maxWaitMs: POLL_MS, minBytes: 1, signal })
      signal.throwIfAborted()
      if (pages.some(({ records }) => records.length > 0)) return
      for (const { partition, nextOffset } of pages) positions.set(partition, nextOffset)
    }
  }

  async close(): Promise<void> {
    await this.#assignment?.release()
    this.#assignment = null
    await Promise.all([this.#member.close(), this.reader.close(), this.#waiter.close()])
  }

  /** A partition that was added since has no offset yet and is read from its start; one of the beginning had one. */
  #beginOf(partition: number, earliest: number): number {
    if (!this.#options.begin.has(partition)) return earliest
    throw new RetryableError(
      `the broker has forgotten how far output ${this.#options.name} was (its offsets.retention.minutes is shorter than the output was off). ` +
        'Give the output another name, with start_from: oldest (events may come again) or now (what is in the buffer is not sent to it)',
    )
  }
}

function withMetadata(offsets: Offsets, provenAt: number): Map<number, { offset: number; metadata: string }> {
  return new Map([...offsets].map(([partition, offset]) => [partition, { offset, metadata: JSON.stringify({ provenAt }) }]))
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    // The signal's own reason, as everywhere.
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
