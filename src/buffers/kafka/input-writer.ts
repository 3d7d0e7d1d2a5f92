import type { KafkaClient } from '../../kafka/client.ts'
import { FencedError } from '../../kafka/errors.ts'
import { TransactionalProducer, type TopicRecords } from '../../kafka/transactional-producer.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import { readerOf, type ServiceState, type Unit, type Window } from '../../pipeline/unit.ts'
import { Arena } from './arena.ts'
import { assertHere } from './state.ts'
import type { StateLog } from './state-log.ts'
import { STATE_PARTITION } from './state-log.ts'
import { jsonRecord, positionRecords, tombstone, windowText, type SavedPosition, type StateKey, type StateRecord } from './state-records.ts'
import type { StateView } from './state-view.ts'
import type { Topics } from './topics.ts'
import { unitRecords } from './unit-records.ts'

export interface InputWriterOptions {
  readonly client: KafkaClient
  readonly topics: Topics
  readonly inputId: string
  readonly stateLog: StateLog
  readonly compression: 'gzip' | 'none'
  readonly eventPartitions: readonly number[]
  /** Writes also where the state was moved away. */
  readonly beginsAnew: boolean
  /** Aborts when another process owns the inputs; nothing is written afterwards. */
  readonly lost: AbortSignal
  /** Called when the broker says that another producer has taken over. */
  readonly onFenced: () => void
}

/** What the writer must know of a service to write its next position. */
interface Ledger {
  startTime: number | null
  /** The last one, as it was written. */
  position: string
  /** Numbers of the saved fingerprints by window. */
  readonly seen: Map<string, { readonly window: Window; readonly numbers: number[] }>
}

/**
 * Writes one input's units: each is one transaction of its events and its position. One owner a time:
 *
 *   cold ──fence (a transaction that writes the marker), then restore──▶ ready ──append──▶ ready
 *     ▲                                                                    │
 *     └──────── any error: the producer is dead, the outcome unknown ──────┘        fenced: never again
 *
 * One transaction runs at a time; callers queue.
 */
export class InputWriter {
  readonly #options: InputWriterOptions
  readonly #arena = new Arena()
  #producer: TransactionalProducer | null = null
  #ledgers = new Map<string, Ledger>()
  /** What a restore has read and nobody has loaded yet. */
  #restored: StateView | null = null
  readonly #untaken = new Set<string>()
  /** Services that a restore has found elsewhere than this writer had left them: what was made for the old place must not be written. */
  readonly #moved = new Set<string>()
  /** Of the state topic's last record of ours. */
  #stateOffset = -1
  #tail: Promise<unknown> = Promise.resolve()

  constructor(options: InputWriterOptions) {
    this.#options = options
  }

  /** Null where the service has never run. Throws RetryableError while the broker is away. */
  loadService(service: string): Promise<ServiceState | null> {
    return this.#queued(async () => {
      await this.#ready()
      this.#moved.delete(service)
      // Many ask for a service that has never run, and only this writer could have begun it since the restore.
      if (!this.#ledgers.has(service)) return null
      const { inputId, stateLog } = this.#options
      if (this.#restored === null || !this.#untaken.has(service)) {
        const fresh = await stateLog.restore(inputId, null)
        return fresh.stateOf(inputId, service)
      }
      const state = this.#restored.stateOf(inputId, service)
      this.#taken(service)
      return state
    })
  }

  startService(service: string, settled: number, startTime: number | null): Promise<void> {
    return this.#queued(async () => {
      await this.#ready()
      const { inputId } = this.#options
      const ledger = this.#ledgerOf(service)
      const key: StateKey = { kind: 'position', inputId, service }
      await this.#commit([], [
        jsonRecord(key, { settled, readAt: 0, startTime, holes: [] }),
        ...seenKeys(inputId, service, [...ledger.seen.values()]).map(tombstone),
      ])
      this.#taken(service)
      this.#moved.delete(service)
      ledger.startTime = startTime
      ledger.position = positionText({ settled, readAt: 0, startTime, holes: [] })
      ledger.seen.clear()
    })
  }

  append(unit: Unit): Promise<void> {
    return this.#queued(async () => {
      const { inputId, topics, eventPartitions } = this.#options
      if (this.#producer === null) await this.#ready()
      const { position } = unit
      const service = readerOf(unit)
      if (this.#moved.has(service)) throw new RetryableError(`${service} is not where this collector had left it; its state is read again first`, { code: 'KafkaStateReread' })
      const ledger = this.#ledgerOf(service)
      const gone = position.forgotten.flatMap((window) => ledger.seen.get(windowText(window)) ?? [])
      const n = 1 + Math.max(0, ...(position.seen === null ? [] : (ledger.seen.get(windowText(position.seen.window))?.numbers ?? [])))
      const state = positionRecords(unit, ledger.startTime, n, seenKeys(inputId, service, gone))
      this.#arena.clear()
      await this.#commit(unitRecords(unit, topics, eventPartitions, this.#arena.take), state)
      this.#taken(service)
      ledger.position = positionText({ ...position, startTime: ledger.startTime })
      for (const { window } of gone) ledger.seen.delete(windowText(window))
      if (position.seen === null) return
      const { window } = position.seen
      const known = ledger.seen.get(windowText(window))
      if (known === undefined) ledger.seen.set(windowText(window), { window, numbers: [n] })
      else known.numbers.push(n)
    })
  }

  async close(): Promise<void> {
    await this.#tail.catch(() => undefined)
    await this.#producer?.close()
    this.#producer = null
  }

  /** What was restored counts once, and no longer where the service has moved on without it. */
  #taken(service: string): void {
    this.#untaken.delete(service)
    if (this.#untaken.size === 0) this.#restored = null
  }

  #ledgerOf(service: string): Ledger {
    let ledger = this.#ledgers.get(service)
    if (ledger === undefined) {
      ledger = { startTime: null, position: '', seen: new Map() }
      this.#ledgers.set(service, ledger)
    }
    return ledger
  }

  /** Fences whoever wrote before, and reads what is true now. */
  async #ready(): Promise<void> {
    if (this.#producer !== null) return
    const { client, topics, inputId, stateLog, compression, beginsAnew } = this.#options
    const producer = new TransactionalProducer(client, topics.transactionalId(inputId), { compression })
    try {
      const marker = jsonRecord({ kind: 'marker', inputId }, new Date().toISOString())
      const offsets = await producer.commit([stateRecords(topics, [marker])])
      const offset = stateOffset(offsets, topics)
      const view = await stateLog.restore(inputId, offset)
      // Whoever moves it fences all that have written before, and looks for no others afterwards.
      if (!beginsAnew) assertHere(view.layout, topics)
      this.#restored = view
      this.#untaken.clear()
      this.#stateOffset = offset
      const before = this.#ledgers
      this.#ledgers = new Map()
      for (const { inputId: owner, service, ...position } of view.services()) {
        if (owner !== inputId) continue
        this.#untaken.add(service)
        const ledger = this.#ledgerOf(service)
        ledger.startTime = position.startTime
        ledger.position = positionText(position)
        for (const { window, n } of view.seenOf(inputId, service)) {
          const known = ledger.seen.get(windowText(window))
          if (known === undefined) ledger.seen.set(windowText(window), { window, numbers: [n] })
          else known.numbers.push(n)
        }
      }
      for (const [service, left] of before) if (!isSame(left, this.#ledgers.get(service))) this.#moved.add(service)
      if (this.#untaken.size === 0) this.#restored = null
      this.#producer = producer
    } catch (error) {
      await producer.close()
      throw this.#told(error)
    }
  }

  async #commit(events: readonly TopicRecords[], state: readonly StateRecord[]): Promise<void> {
    const producer = this.#producer
    if (producer === null) throw new RetryableError('the producer has failed; the state is read again first', { code: 'KafkaStateReread' })
    this.#options.lost.throwIfAborted()
    try {
      const offset = stateOffset(await producer.commit([...events, stateRecords(this.#options.topics, state)]), this.#options.topics)
      // Deleted and made anew, or the brokers have lost its end.
      if (offset <= this.#stateOffset) throw new RetryableError(`the topic ${this.#options.topics.state} has gone back to offset ${offset}; it is read again`, { code: 'KafkaStateReread' })
      this.#stateOffset = offset
    } catch (error) {
      this.#producer = null
      await producer.close()
      throw this.#told(error)
    }
  }

  #told(error: unknown): unknown {
    if (error instanceof FencedError) this.#options.onFenced()
    return error
  }

  #queued<Result>(work: () => Promise<Result>): Promise<Result> {
    const next = this.#tail.then(() => {
      this.#options.lost.throwIfAborted()
      return work()
    })
    this.#tail = next.catch(() => undefined)
    return next
  }
}

function seenKeys(
  inputId: string,
  service: string,
  entries: readonly { readonly window: Window; readonly numbers: readonly number[] }[],
): StateKey[] {
  return entries.flatMap(({ window, numbers }) => numbers.map((n): StateKey => ({ kind: 'seen', inputId, service, window, n })))
}

function positionText({ settled, readAt, startTime, holes }: SavedPosition): string {
  return JSON.stringify({ settled, readAt, startTime, holes })
}

/** Whoever has appended anything else of the service has moved its position or added fingerprints. */
function isSame(left: Ledger, found: Ledger | undefined): boolean {
  if (left.position !== found?.position || left.seen.size !== found.seen.size) return false
  return [...left.seen].every(([window, { numbers }]) => found.seen.get(window)?.numbers.length === numbers.length)
}

/** Of the last record; a transaction here always has one. */
function stateOffset(offsets: ReadonlyMap<string, number>, topics: Topics): number {
  return offsets.get(`${topics.state}/${STATE_PARTITION}`) ?? -1
}

function stateRecords(topics: Topics, records: readonly StateRecord[]): TopicRecords {
  return { topic: topics.state, partition: STATE_PARTITION, records: records.map(({ key, value }) => ({ key: Buffer.from(key), value })) }
}
