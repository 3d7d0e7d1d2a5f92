import type { Logger } from 'pino'
import { createKafkaClient, type KafkaClient, type KafkaConnection } from '../../kafka/client.ts'
import { commitOffsets } from '../../kafka/group-offsets.ts'
import { PartitionReader } from '../../kafka/partition-reader.ts'
import { ensureTopics } from '../../kafka/topics.ts'
import { TransactionalProducer, type TopicRecords } from '../../kafka/transactional-producer.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { FatalError } from '../../pipeline/errors.ts'
import { offsetsOf, type Offsets } from '../kafka/cursor.ts'
import { groupOffsets } from '../kafka/group-positions.ts'
import { STATE_PARTITION, StateLog } from '../kafka/state-log.ts'
import { jsonRecord, tombstone, type SavedMove, type StateRecord } from '../kafka/state-records.ts'
import type { StateView } from '../kafka/state-view.ts'
import { Topics, topicSpecs, type TopicOptions } from '../kafka/topics.ts'

export interface TargetOptions extends TopicOptions {
  readonly connection: KafkaConnection
  readonly compression: 'gzip' | 'none'
  readonly createTopics: boolean
  readonly clock: Clock
  readonly log: Logger
  /** Ends every wait for a broker. */
  readonly signal: AbortSignal
}

/** The mover's marker is nobody else's: no input's id is as short. */
const MARKER = 'move'

/**
 * The Kafka buffer that a move fills. One transaction brings some of the content and how far the move has come with it, and the first one fences
 * an earlier mover; so what is read behind it is true, whatever had become of that one. After any error the outcome is unknown: a new target is
 * opened and says what there is. Throws FencedError where another mover has taken over, RetryableError while the brokers are away. The caller owes a `close`.
 */
export class MoveTarget {
  readonly topics: Topics
  readonly #options: TargetOptions
  readonly #client: KafkaClient
  readonly #eventReader: PartitionReader
  readonly #stateReader: PartitionReader
  readonly #stateLog: StateLog
  readonly #producer: TransactionalProducer

  constructor(options: TargetOptions) {
    const { connection, log, prefix, compression, clock, signal } = options
    this.topics = new Topics(prefix)
    this.#options = options
    this.#client = createKafkaClient(connection, log)
    this.#eventReader = new PartitionReader(this.#client, this.topics.events)
    this.#stateReader = new PartitionReader(this.#client, this.topics.state)
    this.#stateLog = new StateLog(this.#stateReader, clock, signal)
    this.#producer = new TransactionalProducer(this.#client, this.topics.moverId, { compression })
  }

  /**
   * Throws FatalError where the topics hold anything but this source's content, whole or a part: they must be new, or what is there and what
   * comes would be mixed. `create`: makes the topics that are missing, else TopicsMissingError. Nothing else is written.
   */
  async check(from: string, { create }: { readonly create: boolean }): Promise<void> {
    await ensureTopics(this.#client, topicSpecs(this.topics, this.#options), { create })
    this.#assertUsable(await this.#stateLog.refresh(), from, await this.ends())
  }

  /** How far the move of this source has come, also where it is done. Throws as `check`. */
  async begin(start: SavedMove): Promise<SavedMove> {
    await this.check(start.from, { create: this.#options.createTopics })
    const before = await this.#writeState([jsonRecord({ kind: 'marker', inputId: MARKER }, new Date(this.#options.clock.now()).toISOString())])
    this.#assertUsable(before, start.from, await this.ends())
    if (before.move !== null) return before.move
    const after = await this.#writeState([jsonRecord({ kind: 'move' }, start)])
    // A collector may have begun at the same time. Either sees the other: it looks for a move after it has written its layout.
    if (after.layout !== null) {
      await this.#writeState([tombstone({ kind: 'move' })])
      throw this.#used('a collector has begun there')
    }
    return start
  }

  /** Where the events of each partition end, behind all that was committed. */
  async ends(): Promise<Offsets> {
    return await this.#eventReader.offsets('latest')
  }

  /** Durable, all or nothing, together with how far the move has come. */
  async commit(records: readonly TopicRecords[], move: SavedMove, state: readonly StateRecord[] = []): Promise<void> {
    this.#options.signal.throwIfAborted()
    await this.#producer.commit([...records, this.#stateRecords([...state, jsonRecord({ kind: 'move' }, move)])])
  }

  /** From where on an output reads. `provenAt`: epoch milliseconds, 0 where it has proven nothing. */
  async commitOutput(name: string, begin: Readonly<Record<string, number>>, provenAt: number): Promise<void> {
    this.#options.signal.throwIfAborted()
    await commitOffsets(this.#client, this.topics.outputGroup(name), this.topics.events, groupOffsets(offsetsOf(begin), provenAt))
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#producer.close(), this.#eventReader.close(), this.#stateReader.close()])
  }

  /** What the state is with these records. */
  async #writeState(records: readonly StateRecord[]): Promise<StateView> {
    this.#options.signal.throwIfAborted()
    const offsets = await this.#producer.commit([this.#stateRecords(records)])
    return await this.#stateLog.restore(MARKER, offsets.get(`${this.topics.state}/${STATE_PARTITION}`) ?? null)
  }

  #stateRecords(records: readonly StateRecord[]): TopicRecords {
    return { topic: this.topics.state, partition: STATE_PARTITION, records: records.map(({ key, value }) => ({ key: Buffer.from(key), value })) }
  }

  #assertUsable({ layout, move }: StateView, from: string, ends: Offsets): void {
    if (layout?.departure !== undefined) throw this.#used(`what was there was moved to the embedded buffer ${layout.departure.to}`)
    if (move !== null && move.from !== from) {
      throw this.#used(`${move.source} ${move.done ? 'was moved there, and it was another buffer or has changed since' : 'is being moved there'}`)
    }
    if (move !== null) return
    if (layout !== null) throw this.#used('a collector has run there')
    if ([...ends.values()].some((end) => end > 0)) throw this.#used('it holds events')
  }

  #used(why: string): FatalError {
    const { prefix } = this.#options
    return new FatalError(
      `the embedded buffer cannot be moved to Kafka: the topic_prefix ${prefix} is in use (${why}). Use another topic_prefix; or, where what is in ` +
        'buffer.db of the state folder is not wanted, rename that file, and the collector goes on with what is in Kafka',
      { code: 'TopicPrefixInUse' },
    )
  }
}
