import type { Logger } from 'pino'
import { createKafkaClient, LITTLE_PATIENCE, type KafkaClient, type KafkaConnection } from '../../kafka/client.ts'
import { GroupMember, type Assignment, type GroupTimeouts } from '../../kafka/group-member.ts'
import { PartitionReader } from '../../kafka/partition-reader.ts'
import { RecordProducer } from '../../kafka/record-producer.ts'
import { ensureTopics } from '../../kafka/topics.ts'
import type { BatchStream, BufferSnapshot, Cursor, EventBuffer, InputOwnership, OutputShare, OutputStart, ReadRange } from '../../pipeline/buffer.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { releaseBytes } from '../../pipeline/event.ts'
import type { DeadLetter, ServiceState, Unit } from '../../pipeline/unit.ts'
import { checkUnit } from '../embedded/chunks.ts'
import { parseCursor } from './cursor.ts'
import { InputWriter } from './input-writer.ts'
import { KafkaOutputs } from './outputs.ts'
import { KafkaQuotaLog } from './quota-log.ts'
import { warnOfRetention } from './retention.ts'
import { readShipment } from './shipment-reader.ts'
import { takeSnapshot } from './snapshot.ts'
import { assertHere, openState, type LostState } from './state.ts'
import { StateLog } from './state-log.ts'
import { Topics, topicSpecs, type TopicOptions } from './topics.ts'
import { DeadLetterLog } from './dead-letter-log.ts'
import { DeadLetterTally } from './dead-letter-tally.ts'
import { ended, keepOwning } from './sole-owner.ts'
import { deadLetterRecords } from './unit-records.ts'
import { UndecodableRecords } from './undecodable.ts'

const CLOSED = 'the Kafka buffer is closed'

export interface KafkaBufferOptions extends TopicOptions {
  readonly connection: KafkaConnection
  readonly compression: 'gzip' | 'none'
  /** False: the topics must exist, with the right settings. */
  readonly createTopics: boolean
  readonly clock: Clock
  readonly log: Logger
  /** What is done where there are events and no state; by default that is an error. */
  readonly lostState?: LostState
  /** For a look beside a running collector: opening it writes nothing. */
  readonly readOnly?: boolean
  readonly groupTimeouts?: GroupTimeouts
}

/**
 * Opens the buffer at the brokers; no consumer and no transaction begins before the inputs are owned and shares are taken. Throws
 * RetryableError while no broker answers, FatalError where only a person can help (login, wrong topics, a state that is gone).
 */
export async function openKafkaBuffer(options: KafkaBufferOptions): Promise<EventBuffer> {
  const { connection, clock, log, createTopics, lostState = 'refuse', readOnly = false } = options
  const client = createKafkaClient(connection, log, readOnly ? LITTLE_PATIENCE : undefined)
  const topics = new Topics(options.prefix)
  const closed = new AbortController()
  const stateReader = new PartitionReader(client, topics.state)
  const eventReader = new PartitionReader(client, topics.events)
  const deadLetterReader = new PartitionReader(client, topics.deadLetters)
  const producer = new RecordProducer(client)
  const stateLog = new StateLog(stateReader, clock, closed.signal)
  try {
    await openState({
      topics,
      stateLog,
      eventReader,
      producer,
      lostState,
      readOnly,
      log,
      ensureTopics: () => ensureTopics(client, topicSpecs(topics, options), { create: createTopics }),
    })
    const eventPartitions = [...(await eventReader.offsets('earliest')).keys()].sort((a, b) => a - b)
    return new KafkaBuffer({
      ...options, client, topics, closed, stateLog, stateReader, eventReader, deadLetterReader, producer, eventPartitions,
    })
  } catch (error) {
    await Promise.allSettled([stateReader.close(), eventReader.close(), deadLetterReader.close(), producer.close()])
    throw error
  }
}

interface Parts extends KafkaBufferOptions {
  readonly client: KafkaClient
  readonly topics: Topics
  readonly closed: AbortController
  readonly stateLog: StateLog
  readonly stateReader: PartitionReader
  readonly eventReader: PartitionReader
  readonly deadLetterReader: PartitionReader
  readonly producer: RecordProducer
  readonly eventPartitions: readonly number[]
}

class KafkaBuffer implements EventBuffer {
  readonly #parts: Parts
  readonly #quotaLog: KafkaQuotaLog
  readonly #outputs: KafkaOutputs
  readonly #tally: DeadLetterTally
  readonly #undecodable: UndecodableRecords
  readonly #keptLetters = new WeakSet<DeadLetter>()
  readonly #inputs: GroupMember
  readonly #writers = new Map<string, InputWriter>()
  /** Aborts when the inputs are no longer ours; null while they are not. */
  #over: AbortController | null = null
  readonly #running = new Set<Promise<unknown>>()
  #closing: Promise<void> | null = null
  #hasLookedAtRetention = false

  constructor(parts: Parts) {
    const { client, topics, stateLog, eventReader, deadLetterReader, producer, clock, log, groupTimeouts = {} } = parts
    this.#parts = parts
    this.#quotaLog = new KafkaQuotaLog(producer, stateLog, topics)
    this.#outputs = new KafkaOutputs({ client, topics, stateLog, eventReader, producer, clock, log, groupTimeouts })
    this.#tally = new DeadLetterTally({ letters: new DeadLetterLog(deadLetterReader, parts.closed.signal), stateLog, topics, producer, log })
    this.#undecodable = new UndecodableRecords(topics, clock, log)
    this.#inputs = new GroupMember(client, { groupId: topics.inputsGroup, topic: topics.state, clock, log, ...groupTimeouts })
  }

  /** Stands by until the one partition of the state topic is ours; keeps it while others come and go. */
  async ownInputs(signal: AbortSignal, onStandby?: () => void): Promise<InputOwnership> {
    this.#assertOpen()
    const { closed, log } = this.#parts
    const waiting = AbortSignal.any([signal, closed.signal])
    for (let isNews = true; ; isNews = false) {
      const assignment = await this.#inputs.join(waiting)
      if (assignment.partitions.length > 0) return this.#owned(assignment)
      if (isNews) log.info('Another collector reads the inputs; standing by')
      onStandby?.()
      await ended(AbortSignal.any([assignment.ending, assignment.lost, waiting]))
      await assignment.release()
    }
  }

  #owned(first: Assignment): InputOwnership {
    const ownership = keepOwning(this.#inputs, first, this.#parts.closed.signal)
    // The writers' fence is there for the case that it is not noticed.
    this.#over = ownership.over
    return {
      lost: ownership.over.signal,
      release: async () => {
        await ownership.release()
        await this.#closeWriters()
        // Who delivers what is left may be long about it; the inputs are another's at once.
        await this.#inputs.leave()
      },
    }
  }

  async loadService(inputId: string, service: string): Promise<ServiceState | null> {
    this.#assertOpen()
    if (this.#over !== null) return this.#run(() => this.#writerOf(inputId).loadService(service))
    return (await this.#parts.stateLog.refresh()).stateOf(inputId, service)
  }

  startService(inputId: string, service: string, settled: number, startTime: number | null): Promise<void> {
    return this.#run(() => this.#writerOf(inputId).startService(service, settled, startTime))
  }

  /** The topic's retention makes room for events, and only people for dead letters; a broker that is away says so at the append. */
  assertRoom(): Promise<void> {
    return this.#run(() => this.#tally.assertStillRoom(null))
  }

  append(unit: Unit): Promise<void> {
    return this.#run(async () => {
      checkUnit(unit)
      try {
        if (unit.deadLetters.length > 0) await this.#tally.assertRoom(null)
        await this.#writerOf(unit.inputId).append(unit)
      } finally {
        for (const chunk of unit.chunks) releaseBytes(chunk)
        const { seen } = unit.position
        if (seen !== null) releaseBytes({ lines: seen.fingerprints, fingerprints: new Uint8Array() })
      }
    })
  }

  openOutputs(outputs: readonly OutputStart[]): Promise<void> {
    return this.#run(async () => {
      await this.#outputs.open(outputs)
      if (this.#hasLookedAtRetention) return
      this.#hasLookedAtRetention = true
      await warnOfRetention(this.#parts)
    })
  }

  /** Not among what `close` waits for: it ends it. */
  async takeShare(output: string, signal: AbortSignal): Promise<OutputShare> {
    this.#assertOpen()
    this.#undecodable.forget(output)
    const share = await this.#outputs.of(output).takeShare(AbortSignal.any([signal, this.#parts.closed.signal]))
    try {
      // A process that was paused may come back to find all moved away. Whoever moves it looks for members after it has said so.
      const { stateLog, topics } = this.#parts
      assertHere((await stateLog.refresh()).layout, topics)
    } catch (error) {
      await share.release()
      throw error
    }
    return share
  }

  read(output: string, range: ReadRange): BatchStream {
    const { closed, eventReader } = this.#parts
    const reader = this.#outputs.find(output) ?? eventReader
    const isClosed = this.#closing !== null
    const signal = isClosed ? range.signal : AbortSignal.any([range.signal, closed.signal])
    const stream = readShipment(reader, { ...range, signal }, (record) => this.#undecodable.tell(output, record))
    if (isClosed) stream.destroy(new Error(CLOSED))
    return stream
  }

  async waitBeyond(output: string, cursor: Cursor, signal: AbortSignal): Promise<void> {
    this.#assertOpen()
    await this.#outputs.of(output).waitBeyond(parseCursor(cursor), AbortSignal.any([signal, this.#parts.closed.signal]))
  }

  commit(output: string, cursor: Cursor, deadLetters: readonly DeadLetter[]): Promise<void> {
    return this.#run(async () => {
      const found = this.#outputs.of(output)
      const offsets = parseCursor(cursor)
      const letters = [...this.#undecodable.below(output, offsets), ...deadLetters].filter((letter) => !this.#keptLetters.has(letter))
      // First the letters: a kill between the two keeps one twice, and loses none. A commit that is tried again brings the same ones.
      if (letters.length > 0) {
        await this.#tally.assertRoom(output)
        await this.#parts.producer.send([deadLetterRecords(letters, this.#parts.topics)])
      }
      for (const letter of letters) this.#keptLetters.add(letter)
      await found.commit(offsets)
      this.#undecodable.forgetBelow(output, offsets)
    })
  }

  load(pool: string): Promise<readonly (readonly [minute: number, requests: number])[]> {
    return this.#run(() => this.#quotaLog.load(pool))
  }

  count(pool: string, minute: number, forgetBefore: number): Promise<boolean> {
    return this.#run(() => this.#quotaLog.count(pool, minute, forgetBefore))
  }

  snapshot(): Promise<BufferSnapshot> {
    const { client, topics, stateLog, eventReader } = this.#parts
    return this.#run(() => takeSnapshot({ client, topics, stateLog, eventReader, tally: this.#tally }))
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { closed, stateReader, eventReader, deadLetterReader, producer } = this.#parts
    await Promise.allSettled(this.#running)
    closed.abort(new Error(CLOSED))
    this.#undecodable.close()
    await this.#closeWriters()
    await Promise.allSettled([
      this.#inputs.close(), this.#outputs.close(), stateReader.close(), eventReader.close(), deadLetterReader.close(), producer.close(),
    ])
  }

  async #closeWriters(): Promise<void> {
    this.#over = null
    const writers = [...this.#writers.values()]
    this.#writers.clear()
    await Promise.allSettled(writers.map((writer) => writer.close()))
  }

  #writerOf(inputId: string): InputWriter {
    const over = this.#over
    if (over === null) throw new Error('only the owner of the inputs writes')
    let writer = this.#writers.get(inputId)
    if (writer === undefined) {
      const { client, topics, stateLog, compression, eventPartitions, lostState = 'refuse' } = this.#parts
      writer = new InputWriter({
        client, topics, inputId, stateLog, compression, eventPartitions,
        beginsAnew: lostState !== 'refuse',
        lost: over.signal,
        onFenced: () => over.abort(new Error('another collector has taken over the inputs')),
      })
      this.#writers.set(inputId, writer)
    }
    return writer
  }

  #assertOpen(): void {
    if (this.#closing !== null) throw new Error(CLOSED)
  }

  /** What runs when `close` comes is waited for. */
  async #run<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#assertOpen()
    const running = work()
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }
}
