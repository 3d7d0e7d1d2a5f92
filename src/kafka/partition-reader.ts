import { Backoff } from '../pipeline/backoff.ts'
import { systemClock, type Clock } from '../pipeline/clock.ts'
import { RetryableError } from '../pipeline/errors.ts'
import type { KafkaClient } from './client.ts'
import { explainKafkaError, OffsetOutOfRangeError } from './errors.ts'
import { fetchFrom, type FetchLimits, type PartitionAnswer } from './fetch-request.ts'
import { FETCHES, READ_COMMITTED, READ_UNCOMMITTED, REQUESTS } from './internals.ts'
import { ReaderConnection } from './reader-connection.ts'
import { isLeaderMoved, ProtocolError } from './reader-errors.ts'
import { decodeRecords, type FetchedRecord } from './record-decoder.ts'

export type { FetchedRecord } from './record-decoder.ts'

/** `maxBytes` counts records as they are once no longer compressed; a single larger one still comes. */
export interface FetchOptions extends FetchLimits {
  readonly signal: AbortSignal
}

export interface FetchedPartition {
  readonly partition: number
  readonly records: readonly FetchedRecord[]
  /** Where reading goes on: behind the records and behind what is no record (markers, aborted transactions, what was compacted away). */
  readonly nextOffset: number
  /** Behind everything that is replicated; open transactions may still hide what is before it. */
  readonly highWatermark: number
  /** Behind everything that can be read now. */
  readonly lastStableOffset: number
}

/**
 * Where the log begins; where it ends (its high watermark, which open transactions may still hide); up to where it can be read now; or the
 * first record of at least that time, epoch milliseconds, and where there is none up to where it can be read now.
 */
export type OffsetQuestion = 'earliest' | 'latest' | 'stable' | { readonly timestamp: number }

/** The position lies before the log's start, where retention has removed it, or behind its end, where the log has lost what it had. */
export class PositionOutOfRangeError extends OffsetOutOfRangeError {
  readonly partition: number
  readonly position: number
  /** The first offset that there is. */
  readonly logStart: number
  constructor(topic: string, partition: number, position: number, logStart: number) {
    super(`reading ${topic}: partition ${partition} has nothing at offset ${position}, it begins at ${logStart}`)
    this.partition = partition
    this.position = position
    this.logStart = logStart
  }
}

const OFFSET_OUT_OF_RANGE = 1
/** An answer that inflates to more than so many times what was asked for is not taken whole. */
const OVERSHOOT = 2
const LEAST_BYTES = 64 * 1024
/** Within one call; whoever reads waits longer, and tells it. */
const LEADER_TRIES = 6
const NO_OFFSET = -1

/**
 * Reads any range of a topic's partitions, committed records only. kafkajs's consumer cannot: it has one position for each partition, and
 * here a shipment is read again while its successors are under way. A reader has connections of its own, since a broker answers the fetches
 * of one connection in order: a long poll holds up what is behind it, so give long polls a reader of their own.
 */
export class PartitionReader {
  readonly #client: KafkaClient
  readonly #topic: string
  readonly #clock: Clock
  #connection: ReaderConnection | null = null
  /** Every connection that somebody still uses, given up or not. */
  readonly #used = new Set<ReaderConnection>()
  #closed = false
  #turn = 0
  /** How many times as large the last answer was once it was no longer compressed: the next is asked for accordingly. */
  #inflation = 1

  constructor(client: KafkaClient, topic: string, clock: Clock = systemClock) {
    this.#client = client
    this.#topic = topic
    this.#clock = clock
  }

  /**
   * One answer for each position, also an empty one; together some `maxBytes`, unless a single batch is larger. Throws
   * PositionOutOfRangeError, RetryableError (the broker is away, or moved for long), FatalError, or the signal's reason, at once.
   */
  async fetch(positions: ReadonlyMap<number, number>, options: FetchOptions): Promise<readonly FetchedPartition[]> {
    const { signal, maxWaitMs } = options
    const doing = `reading ${this.#topic}`
    const answers = await this.#run(doing, signal, maxWaitMs > 0, async (connection) => this.#ask(connection, positions, options))
    const budget = { left: options.maxBytes * OVERSHOOT, compressed: 0, inflated: 0 }
    try {
      return await Promise.all(
        answers.map(async ({ partition, highWatermark, lastStableOffset, records, abortedTransactions }) => ({
          partition,
          highWatermark,
          lastStableOffset,
          ...(await decodeRecords(records, positions.get(partition) ?? 0, abortedTransactions, budget)),
        })),
      )
    } catch (error) {
      throw explainKafkaError(error, doing)
    } finally {
      if (budget.compressed > 0) this.#inflation = Math.max(budget.inflated / budget.compressed, 1)
    }
  }

  /** Of all partitions, in their order. Throws RetryableError, FatalError, or the signal's reason. */
  offsets(question: OffsetQuestion, signal?: AbortSignal): Promise<ReadonlyMap<number, number>> {
    return this.#run(`asking for the offsets of ${this.#topic}`, signal, false, async (connection) => {
      const partitions = [...connection.leaders().keys()].sort((a, b) => a - b)
      const found = await this.#list(connection, partitions, question)
      const unknown = partitions.filter((partition) => found.get(partition) === NO_OFFSET)
      const ends = unknown.length === 0 ? found : await this.#list(connection, unknown, 'stable')
      return new Map(partitions.map((partition) => [partition, (unknown.includes(partition) ? ends : found).get(partition) ?? 0]))
    })
  }

  /** At once: calls that are under way are rejected with a RetryableError. */
  async close(): Promise<void> {
    this.#closed = true
    this.#connection = null
    for (const connection of [...this.#used]) connection.end(this.#closedError())
    this.#used.clear()
  }

  async #ask(connection: ReaderConnection, positions: ReadonlyMap<number, number>, options: FetchOptions): Promise<PartitionAnswer[]> {
    const answers = await this.#perLeader(connection, this.#inTurn([...positions.keys()]), async (leader, partitions) => {
      const broker = await connection.broker(leader, FETCHES)
      options.signal.throwIfAborted()
      const maxBytes = Math.min(Math.max(Math.floor(options.maxBytes / this.#inflation), LEAST_BYTES), options.maxBytes)
      const limits = { maxBytes, maxWaitMs: options.maxWaitMs, minBytes: Math.min(options.minBytes, maxBytes) }
      return fetchFrom(broker, this.#topic, partitions.map((partition) => [partition, positions.get(partition) ?? 0]), limits)
    })
    for (const { partition, errorCode } of answers) {
      if (errorCode === OFFSET_OUT_OF_RANGE) {
        const logStart = (await this.#list(connection, [partition], 'earliest')).get(partition) ?? 0
        throw new PositionOutOfRangeError(this.#topic, partition, positions.get(partition) ?? 0, logStart)
      }
      if (errorCode !== 0) throw new ProtocolError(errorCode, `partition ${partition}`)
    }
    // A broker over its quota says nothing, and kafkajs then holds back what is asked next.
    if (answers.length < positions.size) throw new ProtocolError(null, 'the broker left partitions out')
    return answers
  }

  async #list(connection: ReaderConnection, partitions: readonly number[], question: OffsetQuestion): Promise<ReadonlyMap<number, number>> {
    const timestamp = question === 'earliest' ? -2 : typeof question === 'string' ? -1 : question.timestamp
    const isolationLevel = question === 'earliest' || question === 'latest' ? READ_UNCOMMITTED : READ_COMMITTED
    const answers = await this.#perLeader(connection, partitions, async (leader, ofLeader) => {
      const broker = await connection.broker(leader, REQUESTS)
      const topics = [{ topic: this.#topic, partitions: ofLeader.map((partition) => ({ partition, timestamp })) }]
      const { responses } = await broker.listOffsets({ isolationLevel, topics })
      return responses.flatMap((response) => response.partitions)
    })
    return new Map(answers.map(({ partition, offset }) => [partition, Number(offset)]))
  }

  async #perLeader<Answer>(
    connection: ReaderConnection,
    partitions: readonly number[],
    ask: (leader: number, partitions: readonly number[]) => Promise<readonly Answer[]>,
  ): Promise<Answer[]> {
    const known = connection.leaders()
    const byLeader = new Map<number, number[]>()
    for (const partition of partitions) {
      const leader = known.get(partition)
      if (leader === undefined || leader < 0) throw new ProtocolError(null, `partition ${partition} has no leader`)
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), partition])
    }
    return (await Promise.all([...byLeader].map(([leader, ofLeader]) => ask(leader, ofLeader)))).flat()
  }

  /** The first partition may fill the whole answer, so each is first in its turn. */
  #inTurn(partitions: readonly number[]): readonly number[] {
    this.#turn += 1
    const first = this.#turn % Math.max(partitions.length, 1)
    return [...partitions.slice(first), ...partitions.slice(0, first)]
  }

  /** `polls`: the answer may come late, and must not hold up whoever comes after a call that was given up. */
  async #run<Result>(
    doing: string,
    signal: AbortSignal | undefined,
    polls: boolean,
    work: (connection: ReaderConnection) => Promise<Result>,
  ): Promise<Result> {
    signal?.throwIfAborted()
    if (this.#closed) throw this.#closedError()
    const connection = (this.#connection ??= new ReaderConnection(this.#client, this.#topic, this.#clock))
    this.#used.add(connection)
    const { promise: givenUp, reject } = Promise.withResolvers<never>()
    const abort = (): void => reject(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    const leave = connection.enter(reject)
    const running = this.#withLeaders(connection, signal, work)
    running.catch(() => undefined) // may fail long after it was given up
    try {
      return await Promise.race([running, givenUp])
    } catch (error) {
      if (signal?.aborted === true) {
        if (polls) this.#giveUp(connection)
        throw signal.reason
      }
      // After an error the next call begins with new connections and new metadata: one way back from a broker that was lost.
      if (!(error instanceof OffsetOutOfRangeError)) this.#giveUp(connection)
      throw explainKafkaError(error, doing)
    } finally {
      signal?.removeEventListener('abort', abort)
      leave()
      if (!connection.isUsed && connection !== this.#connection) this.#used.delete(connection)
    }
  }

  async #withLeaders<Result>(
    connection: ReaderConnection,
    signal: AbortSignal | undefined,
    work: (connection: ReaderConnection) => Promise<Result>,
  ): Promise<Result> {
    await connection.opened
    await connection.refreshIfOld()
    const backoff = new Backoff(50, 1_000)
    for (;;) {
      try {
        return await work(connection)
      } catch (error) {
        if (!isLeaderMoved(error) || backoff.failures + 1 >= LEADER_TRIES) throw error
        await this.#clock.sleep(backoff.next(), signal)
        await connection.refresh()
      }
    }
  }

  #giveUp(connection: ReaderConnection): void {
    if (this.#connection === connection) this.#connection = null
    connection.retire()
  }

  #closedError(): RetryableError {
    return new RetryableError(`reading ${this.#topic}: the reader was closed`, { code: 'KafkaUnavailable' })
  }
}
