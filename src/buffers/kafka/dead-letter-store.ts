import type { Logger } from 'pino'
import { createKafkaClient, LITTLE_PATIENCE, type KafkaClient } from '../../kafka/client.ts'
import { deleteRecordsBelow } from '../../kafka/delete-records.ts'
import { GroupMember, type GroupTimeouts } from '../../kafka/group-member.ts'
import { PartitionReader } from '../../kafka/partition-reader.ts'
import { RecordProducer } from '../../kafka/record-producer.ts'
import { ensureTopics } from '../../kafka/topics.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { RetriesTakenError, type DeadLetterStore, type KeptDeadLetter, type RetryClaim } from '../../pipeline/dead-letters.ts'
import { describeError, isBug } from '../../pipeline/errors.ts'
import type { DeadLetter } from '../../pipeline/unit.ts'
import { DeadLetterLog, letterOf, LETTER_PARTITION } from './dead-letter-log.ts'
import type { KafkaBufferOptions } from './kafka.ts'
import { forgetRemoved, isRemade, removedOf } from './remade-letters.ts'
import { RemovedLetters, rangesOf, type LetterRange } from './removed-letters.ts'
import { keepOwning } from './sole-owner.ts'
import { STATE_PARTITION, StateLog } from './state-log.ts'
import { jsonRecord, tombstone, type StateRecord } from './state-records.ts'
import { assertHere, openState } from './state.ts'
import { Topics, topicSpecs } from './topics.ts'
import { deadLetterRecords } from './unit-records.ts'

export type KafkaDeadLetterOptions = Pick<
  KafkaBufferOptions,
  'connection' | 'prefix' | 'partitions' | 'replicationFactor' | 'retentionMs' | 'clock' | 'log' | 'groupTimeouts'
>

/**
 * The dead letters of a Kafka buffer, beside the collectors that run on it or without one. What is sent again or dropped is written down on the
 * state topic; the broker is told to delete a letter only when all before it are gone as well. The caller owes a `close`. Throws
 * TopicsMissingError where nothing has ever run, else as `openKafkaBuffer` does.
 */
export async function openKafkaDeadLetters(options: KafkaDeadLetterOptions): Promise<DeadLetterStore> {
  const { connection, clock, log, prefix, groupTimeouts = {} } = options
  const client = createKafkaClient(connection, log, LITTLE_PATIENCE)
  const topics = new Topics(prefix)
  const closed = new AbortController()
  const stateReader = new PartitionReader(client, topics.state)
  const eventReader = new PartitionReader(client, topics.events)
  const letterReader = new PartitionReader(client, topics.deadLetters)
  const producer = new RecordProducer(client)
  const stateLog = new StateLog(stateReader, clock, closed.signal)
  const end = async (): Promise<void> => {
    closed.abort(new Error('the dead letters are closed'))
    await Promise.allSettled([stateReader.close(), letterReader.close(), producer.close()])
  }
  try {
    const ensured = (): Promise<readonly string[]> => ensureTopics(client, topicSpecs(topics, options), { create: false })
    await openState({ topics, stateLog, eventReader, producer, log, lostState: 'refuse', readOnly: true, ensureTopics: ensured })
    assertHere((await stateLog.refresh()).layout, topics)
    return new KafkaDeadLetters({ client, topics, stateLog, letters: new DeadLetterLog(letterReader, closed.signal), producer, clock, log, groupTimeouts, closed: closed.signal, end })
  } catch (error) {
    await end()
    throw error
  } finally {
    await eventReader.close()
  }
}

interface Parts {
  readonly client: KafkaClient
  readonly topics: Topics
  readonly stateLog: StateLog
  readonly letters: DeadLetterLog
  readonly producer: RecordProducer
  readonly clock: Clock
  readonly log: Logger
  readonly groupTimeouts: GroupTimeouts
  readonly closed: AbortSignal
  readonly end: () => Promise<void>
}

/** Ids are offsets and 1, for behind 0 there is the first one. */
class KafkaDeadLetters implements DeadLetterStore {
  readonly #parts: Parts
  /** By this store: the view shows it only when transactions that were open at the time have ended. */
  readonly #removed = new RemovedLetters()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async *read(after = 0): AsyncGenerator<KeptDeadLetter, void, undefined> {
    const { topics, letters } = this.#parts
    const end = await letters.end()
    const isRemoved = await this.#isRemoved(end)
    for await (const { records } of letters.pages(Math.max(after, await letters.start()), end))
      for (const record of records) if (!isRemoved(record.offset)) yield { id: record.offset + 1, ...letterOf(record, topics) }
  }

  async replace(removed: readonly number[], added: readonly DeadLetter[]): Promise<void> {
    const { topics, stateLog, letters, producer, clock, log } = this.#parts
    const view = await stateLog.settled()
    if (isRemade(view, await letters.end())) await forgetRemoved(view, topics, producer, log)
    if (added.length > 0) await producer.send([deadLetterRecords(added, topics)])
    const ranges = rangesOf(removed.map((id) => id - 1))
    await this.#write(ranges.map((range) => removedRecord(range, clock.now())))
    for (const range of ranges) this.#removed.add(range)
  }

  async claimRetries(): Promise<RetryClaim> {
    const { client, topics, stateLog, clock, log, groupTimeouts, closed } = this.#parts
    // Of the topic that has one partition, whoever made it.
    const member = new GroupMember(client, { groupId: topics.retriesGroup, topic: topics.state, clock, log, ...groupTimeouts })
    try {
      const assignment = await member.join(closed)
      if (assignment.partitions.length === 0) throw new RetriesTakenError()
      // Whoever moves them away looks for members after he has said so.
      assertHere((await stateLog.refresh()).layout, topics)
      const ownership = keepOwning(member, assignment, closed)
      return {
        lost: ownership.over.signal,
        release: async () => {
          await ownership.release()
          await member.close()
        },
      }
    } catch (error) {
      await member.close()
      throw error
    }
  }

  /** What cannot be tidied up now is hidden all the same, and tidied up by the next one who removes something. */
  async close(): Promise<void> {
    const { log, topics, end } = this.#parts
    try {
      if (this.#removed.ranges().length > 0) await this.#tidyUp()
    } catch (error) {
      if (isBug(error)) throw error
      log.debug(`What was removed from ${topics.deadLetters} stays there, hidden: ${describeError(error)}`)
    } finally {
      await end()
    }
  }

  /** Deletes what lies before the first letter that is left, and writes down anew, and shorter, what was removed behind it. */
  async #tidyUp(): Promise<void> {
    const { client, topics, letters, stateLog, clock } = this.#parts
    const removed = removedOf(await stateLog.settled(), await letters.end())
    const first = await this.#firstLeft(removed)
    await deleteRecordsBelow(client, topics.deadLetters, LETTER_PARTITION, first)
    const { more, noLonger } = removed.tidied(await letters.start())
    // In this order: a kill in between leaves them said twice.
    await this.#write([...more.map((range) => removedRecord(range, clock.now())), ...noLonger.map((range) => tombstone({ kind: 'removed', letters: range }))])
  }

  async #firstLeft(removed: RemovedLetters): Promise<number> {
    const { letters } = this.#parts
    const end = await letters.end()
    for await (const { records } of letters.pages(removed.behind(await letters.start()), end)) {
      const left = records.find(({ offset }) => !removed.has(offset))
      if (left !== undefined) return left.offset
    }
    return end
  }

  async #isRemoved(end: number): Promise<(offset: number) => boolean> {
    const removed = removedOf(await this.#parts.stateLog.settled(), end)
    return (offset) => removed.has(offset) || this.#removed.has(offset)
  }

  async #write(records: readonly StateRecord[]): Promise<void> {
    const { producer, topics } = this.#parts
    if (records.length === 0) return
    await producer.send([
      { topic: topics.state, partition: STATE_PARTITION, records: records.map(({ key, value }) => ({ key: Buffer.from(key), value })) },
    ])
  }
}

function removedRecord(letters: LetterRange, at: number): StateRecord {
  return jsonRecord({ kind: 'removed', letters }, at)
}
