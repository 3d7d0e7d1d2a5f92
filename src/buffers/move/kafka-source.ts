import { createKafkaClient, type KafkaClient } from '../../kafka/client.ts'
import { describeGroup, readOffsets } from '../../kafka/group-offsets.ts'
import { PartitionReader } from '../../kafka/partition-reader.ts'
import { TransactionalProducer } from '../../kafka/transactional-producer.ts'
import type { EventBuffer } from '../../pipeline/buffer.ts'
import { FatalError, RetryableError } from '../../pipeline/errors.ts'
import { ownInputsSoon } from '../../pipeline/own-inputs.ts'
import { offsetsOf, type Offsets } from '../kafka/cursor.ts'
import { provenAtOf } from '../kafka/group-positions.ts'
import { openKafkaBuffer, type KafkaBufferOptions } from '../kafka/kafka.ts'
import { startPositions } from '../kafka/start-positions.ts'
import { StateLog, STATE_PARTITION } from '../kafka/state-log.ts'
import { jsonRecord, LAYOUT_VERSION, type Departure, type StateRecord } from '../kafka/state-records.ts'
import type { StateView } from '../kafka/state-view.ts'
import { Topics } from '../kafka/topics.ts'
import type { OutputOffsets } from './regions.ts'

export interface KafkaSourceOptions extends Omit<KafkaBufferOptions, 'createTopics' | 'lostState' | 'readOnly'> {
  /** Ends every wait. */
  readonly signal: AbortSignal
}

export interface DepartingOutput extends OutputOffsets {
  readonly open: boolean
  readonly provenAt: number
  readonly missedEvents: number
}

/** The members of a collector that was killed are in its groups until their sessions end. */
const GROUPS_EMPTY_WITHIN_MS = 15_000
const LOOK_AGAIN_MS = 500
/** No input has such an id, so that a view with the fingerprints of this one holds none. */
const NO_INPUT = ''

/**
 * The Kafka buffer as the source of a move. `seal` brings it to rest for good: from then on no collector begins there, and whoever wrote before
 * can write no more. Its topics are only read. Errors as of the Kafka buffer. The caller owes a `close`.
 */
export class KafkaSource {
  readonly topics: Topics
  /** Of a move that has begun; null where there was none. */
  departure: Departure | null
  readonly events: PartitionReader
  readonly #options: KafkaSourceOptions
  readonly #client: KafkaClient
  readonly #buffer: EventBuffer
  readonly #stateReader: PartitionReader
  readonly #stateLog: StateLog
  /** Behind everything that was ever written to the state. */
  #end: number | null = null

  /** Throws FatalError where nothing was ever there, or the state is gone, RetryableError while the brokers are away. */
  static async open(options: KafkaSourceOptions): Promise<KafkaSource> {
    const buffer = await openKafkaBuffer({ ...options, createTopics: false, readOnly: true })
    const source = new KafkaSource(options, buffer)
    try {
      const { layout } = await source.#stateLog.settled()
      if (layout === null) throw new FatalError(`no collector has ever run on the topics of ${options.prefix}; there is nothing to move. Check --from`, { code: 'MoveSourceEmpty' })
      source.departure = layout.departure ?? null
      return source
    } catch (error) {
      await source.close()
      throw error
    }
  }

  private constructor(options: KafkaSourceOptions, buffer: EventBuffer) {
    const { connection, log, prefix, clock, signal } = options
    this.topics = new Topics(prefix)
    this.departure = null
    this.#options = options
    this.#buffer = buffer
    this.#client = createKafkaClient(connection, log)
    this.events = new PartitionReader(this.#client, this.topics.events)
    this.#stateReader = new PartitionReader(this.#client, this.topics.state)
    this.#stateLog = new StateLog(this.#stateReader, clock, signal)
  }

  /**
   * Says where everything goes, and brings all collectors to rest. Throws InputsTakenError while one runs, FatalError while one delivers; then
   * nothing has changed but, in the second case, that `unseal` is owed, as after every other error.
   */
  async seal(departure: Departure): Promise<void> {
    const { clock, log, signal } = this.#options
    await ownInputsSoon({ buffer: this.#buffer, clock, log, signal })
    await this.#assertNobodyDelivers(GROUPS_EMPTY_WITHIN_MS)
    // Whoever begins to write from here on finds it, and does not; whoever has begun is known, and fenced.
    this.#end = await this.#write(this.topics.moverId, jsonRecord({ kind: 'layout' }, { version: LAYOUT_VERSION, departure }))
    this.departure = departure
    const { inputIds } = await this.#stateLog.restore(NO_INPUT, this.#end)
    for (const inputId of inputIds) {
      const marker = jsonRecord({ kind: 'marker', inputId }, new Date(clock.now()).toISOString())
      this.#end = await this.#write(this.topics.transactionalId(inputId), marker)
    }
    // Whoever has taken a share after the first look, and before he could have found it.
    await this.#assertNobodyDelivers(0)
  }

  /** Collectors may begin there again. */
  async unseal(): Promise<void> {
    if (this.departure === null) return
    await this.#write(this.topics.moverId, jsonRecord({ kind: 'layout' }, { version: LAYOUT_VERSION }))
    this.departure = null
  }

  /** All but the fingerprints, which are those of one input; null: of none. */
  state(inputId: string | null): Promise<StateView> {
    return this.#stateLog.restore(inputId ?? NO_INPUT, this.#end)
  }

  /**
   * How far each output is, also those that are off. One that is off and that the broker has forgotten is left behind, with a warning.
   * Throws RetryableError that says what to do where it has forgotten one that is on.
   */
  async outputs(): Promise<DepartingOutput[]> {
    const { log } = this.#options
    const { outputs } = await this.state(null)
    const partitions = [...(await this.events.offsets('earliest')).keys()]
    const found: DepartingOutput[] = []
    for (const [name, { open, missedEvents, begin: saved }] of [...outputs].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const begin = offsetsOf(saved)
      const committed = await readOffsets(this.#client, this.topics.outputGroup(name), this.topics.events, partitions)
      if (!open && [...committed].some(([partition, position]) => position === null && begin.has(partition))) {
        log.warn({ code: 'MoveOutputForgotten', output: name }, `Output ${name} is off, and the broker has forgotten how far it was: it is not carried over, and begins as a new one if it is switched on again`)
        continue
      }
      const start = await startPositions({ committed, begin, reader: this.events, output: name, topics: this.topics, log })
      found.push({
        name,
        open,
        provenAt: Math.max(0, ...[...start.positions.values()].map(({ metadata }) => provenAtOf(metadata))),
        missedEvents: missedEvents + start.missedEvents,
        offsets: new Map([...start.positions].map(([partition, { offset }]) => [partition, offset])),
      })
    }
    return found
  }

  /** Where the events of each partition begin and end. */
  async bounds(): Promise<{ readonly starts: Offsets; readonly ends: Offsets }> {
    return { starts: await this.events.offsets('earliest'), ends: await this.events.offsets('latest') }
  }

  deadLetterReader(): PartitionReader {
    return new PartitionReader(this.#client, this.topics.deadLetters)
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#buffer.close(), this.#stateReader.close(), this.events.close()])
  }

  /** The offset of the record. The first transaction of an id fences every producer of that id. */
  async #write(transactionalId: string, { key, value }: StateRecord): Promise<number> {
    const { compression } = this.#options
    const producer = new TransactionalProducer(this.#client, transactionalId, { compression })
    try {
      const records = [{ topic: this.topics.state, partition: STATE_PARTITION, records: [{ key: Buffer.from(key), value }] }]
      const offset = (await producer.commit(records)).get(`${this.topics.state}/${STATE_PARTITION}`)
      if (offset === undefined) throw new RetryableError(`writing to ${this.topics.state}: the broker has not said where`, { code: 'KafkaUnavailable' })
      return offset
    } finally {
      await producer.close()
    }
  }

  async #assertNobodyDelivers(withinMs: number): Promise<void> {
    const { clock, signal } = this.#options
    const since = clock.monotonic()
    const outputs = [...(await this.#stateLog.refresh()).outputs.keys()]
    const senders = outputs.map((name) => ({ group: this.topics.outputGroup(name), who: `a collector delivers to the output ${name}` }))
    for (const { group, who } of [...senders, { group: this.topics.retriesGroup, who: '"dead-letters retry" is under way' }]) {
      for (;;) {
        const { members } = await describeGroup(this.#client, group)
        if (members === 0) break
        if (clock.monotonic() - since >= withinMs) throw new FatalError(`${who} (the group ${group} has ${members} members); stop it first`, { code: 'MoveSourceInUse' })
        await clock.sleep(LOOK_AGAIN_MS, signal)
      }
    }
  }
}

