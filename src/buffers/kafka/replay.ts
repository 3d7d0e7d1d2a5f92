import type { Logger } from 'pino'
import { createKafkaClient, LITTLE_PATIENCE } from '../../kafka/client.ts'
import { TopicsMissingError } from '../../kafka/errors.ts'
import { PartitionReader, PositionOutOfRangeError, type FetchedPartition } from '../../kafka/partition-reader.ts'
import { RecordProducer } from '../../kafka/record-producer.ts'
import { ensureTopics } from '../../kafka/topics.ts'
import type { Cursor } from '../../pipeline/buffer.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { counted } from '../../pipeline/counted.ts'
import { FirstAndSum } from '../../pipeline/first-and-sum.ts'
import type { PulledBetween, ReplayStepsOptions, ReplayStore, SavedReplay } from '../../pipeline/replay-store.ts'
import type { BatchStep } from '../../pipeline/step-stream.ts'
import type { DeadLetter } from '../../pipeline/unit.ts'
import { batchesOf, type Undecodable } from './batches.ts'
import { cursorOf, parseCursor, type Offsets } from './cursor.ts'
import { DeadLetterLog } from './dead-letter-log.ts'
import { DeadLetterTally } from './dead-letter-tally.ts'
import type { KafkaBufferOptions } from './kafka.ts'
import { ReplayGroup } from './replay-group.ts'
import { StateLog } from './state-log.ts'
import { Topics, topicSpecs } from './topics.ts'
import { deadLetterRecords } from './unit-records.ts'

const PAGE_BYTES = 4 * 1024 * 1024
const LOOK_BYTES = 64 * 1024
/** A commit is answered before its events can be read; this is how long one look waits for them. */
const LOOK_MS = 200
const NEVER = new AbortController().signal

type ReplayOptions = Pick<KafkaBufferOptions, 'connection' | 'prefix' | 'partitions' | 'replicationFactor' | 'retentionMs' | 'clock' | 'log'> & {
  /** Other pulls are not wanted. Only their beginning has a place in the topic: what was moved there later is at the end of it, however old. */
  readonly pulled: PulledBetween
}

/**
 * The events topic for a replay; null where no collector has made it yet. It writes nothing but to the replay's own group, and dead letters. The caller
 * owes a `close`. Throws RetryableError while no broker answers, FatalError where only a person can help.
 */
export async function openKafkaReplay(options: ReplayOptions): Promise<ReplayStore | null> {
  const { connection, prefix, clock, log, pulled } = options
  const client = createKafkaClient(connection, log, LITTLE_PATIENCE)
  const topics = new Topics(prefix)
  try {
    await ensureTopics(client, topicSpecs(topics, options), { create: false })
  } catch (error) {
    if (error instanceof TopicsMissingError && error.areAll) return null
    throw error
  }
  const reader = new PartitionReader(client, topics.events)
  const closed = new AbortController()
  const beside = [new PartitionReader(client, topics.state), new PartitionReader(client, topics.deadLetters)] as const
  const stateLog = new StateLog(beside[0], clock, closed.signal)
  const producer = new RecordProducer(client)
  const tally = new DeadLetterTally({ letters: new DeadLetterLog(beside[1], closed.signal), stateLog, topics, producer, log })
  try {
    const start = await reader.offsets('earliest')
    const end = await reader.offsets('latest')
    // A record is never older than its pull, unless a clock was set back.
    const wanted = pulled.from > 0 ? await reader.offsets({ timestamp: pulled.from }) : start
    const begin = new Map([...end].map(([partition, last]) => [partition, Math.min(Math.max(wanted.get(partition) ?? 0, start.get(partition) ?? 0), last)]))
    return new KafkaReplay({
      topics, reader, producer, tally, clock, log, begin, end,
      group: new ReplayGroup(client, topics, begin),
      oldestPull: await oldestPullOf(reader, start, end),
      hasRemoved: [...start.values()].some((offset) => offset > 0),
      release: async () => {
        closed.abort(new Error('the replay is closed'))
        await Promise.all(beside.map((other) => other.close()))
      },
    })
  } catch (error) {
    await reader.close()
    throw error
  }
}

interface Parts {
  readonly topics: Topics
  readonly reader: PartitionReader
  readonly producer: RecordProducer
  readonly tally: DeadLetterTally
  readonly clock: Clock
  readonly log: Logger
  readonly begin: Offsets
  readonly end: Offsets
  readonly group: ReplayGroup
  readonly oldestPull: number | null
  readonly hasRemoved: boolean
  /** Ends what is read beside the events. */
  readonly release: () => Promise<void>
}

type Place = Pick<Undecodable, 'partition' | 'offset'>

class KafkaReplay implements ReplayStore {
  readonly begin: Cursor
  readonly end: Cursor
  readonly oldestPull: number | null
  readonly hasRemoved: boolean
  missed = false
  readonly #parts: Parts
  readonly #told = new Set<string>()
  readonly #lines: FirstAndSum<Place>

  constructor(parts: Parts) {
    this.#parts = parts
    this.begin = cursorOf(parts.begin)
    this.end = cursorOf(parts.end)
    this.oldestPull = parts.oldestPull
    this.hasRemoved = parts.hasRemoved
    const { clock, log, topics } = parts
    this.#lines = new FirstAndSum<Place>(clock, ({ partition, offset }, records) => {
      const what = records === 1 ? 'is no event and is not sent again' : `and ${counted(records - 1, 'record')} behind it are no events and are not sent again`
      log.warn({ code: 'KafkaRecordForeign', partition, offset, records }, `Record ${offset} of partition ${partition} of ${topics.events} ${what}`)
    })
  }

  async *steps({ from, to, isWanted, maxEvents, signal }: ReplayStepsOptions): AsyncGenerator<BatchStep, void, undefined> {
    const ends = parseCursor(to)
    const handedOut = new Map([...parseCursor(from)].map(([partition, offset]) => [partition, Math.min(offset, ends.get(partition) ?? offset)]))
    const fetched = new Map(handedOut)
    const room = (): { events: number; bytes: number } => ({ events: maxEvents, bytes: Infinity })
    let next = this.#fetch(fetched, ends, signal)
    for (;;) {
      const pages = await next
      if (pages === null) break
      for (const { partition, nextOffset } of pages) fetched.set(partition, Math.min(nextOffset, ends.get(partition) ?? 0))
      // The next page is fetched while this one is handed out.
      next = this.#fetch(fetched, ends, signal)
      // Handled where it is awaited; whoever wants no more never gets there.
      next.catch(() => undefined)
      for (const page of pages) {
        for (const { batch, next: offset } of batchesOf(page, ends.get(page.partition) ?? 0, room, this.#tell)) {
          handedOut.set(page.partition, Math.max(offset, handedOut.get(page.partition) ?? 0))
          yield { batch: batch !== null && isWanted(batch) ? batch : null, cursor: cursorOf(handedOut) }
        }
      }
    }
    yield { batch: null, cursor: to }
  }

  fraction(cursor: Cursor): number {
    const { begin, end } = this.#parts
    const at = parseCursor(cursor)
    const all = [...end].reduce((sum, [partition, offset]) => sum + offset - (begin.get(partition) ?? 0), 0)
    const done = [...end].reduce((sum, [partition]) => sum + (at.get(partition) ?? 0) - (begin.get(partition) ?? 0), 0)
    return all === 0 ? 1 : Math.max(0, Math.min(1, done / all))
  }

  async keep(output: string, letters: readonly DeadLetter[]): Promise<void> {
    const { producer, tally, topics } = this.#parts
    await tally.assertRoom(output)
    await producer.send([deadLetterRecords(letters, topics)])
  }

  load(id: string): Promise<SavedReplay | null> {
    return this.#parts.group.load(id)
  }

  save(id: string, saved: SavedReplay): Promise<void> {
    return this.#parts.group.save(id, saved)
  }

  remove(id: string): Promise<void> {
    return this.#parts.group.remove(id)
  }

  async close(): Promise<void> {
    this.#lines.close()
    await Promise.all([this.#parts.reader.close(), this.#parts.producer.close(), this.#parts.release()])
  }

  /** Null where every partition is at its end. What the retention takes meanwhile is passed over, and told. */
  async #fetch(positions: ReadonlyMap<number, number>, ends: Offsets, signal: AbortSignal): Promise<readonly FetchedPartition[] | null> {
    const open = new Map([...positions].filter(([partition, offset]) => offset < (ends.get(partition) ?? 0)))
    for (;;) {
      if (open.size === 0) return null
      try {
        return await this.#parts.reader.fetch(open, { maxBytes: PAGE_BYTES, maxWaitMs: LOOK_MS, minBytes: 1, signal })
      } catch (error) {
        if (!(error instanceof PositionOutOfRangeError) || error.logStart <= error.position) throw error
        this.missed = true
        open.set(error.partition, error.logStart)
      }
    }
  }

  /** Live delivery keeps it as a dead letter. */
  readonly #tell = ({ partition, offset }: Undecodable): void => {
    const place = `${partition}/${offset}`
    if (this.#told.has(place)) return
    this.#told.add(place)
    this.#lines.add([{ partition, offset }])
  }
}

/**
 * Of the first event of each partition, which may stand far behind what is none: a killed collector's transaction, another program's records. Null where
 * none can be read now.
 */
async function oldestPullOf(reader: PartitionReader, start: Offsets, end: Offsets): Promise<number | null> {
  let oldest: number | null = null
  const positions = new Map([...start].filter(([partition, offset]) => offset < (end.get(partition) ?? 0)))
  while (positions.size > 0) {
    const pages = await reader.fetch(positions, { maxBytes: LOOK_BYTES, maxWaitMs: LOOK_MS, minBytes: 1, signal: NEVER })
    for (const page of pages) {
      const pull = firstPullOf(page)
      if (pull !== null) oldest = Math.min(oldest ?? Infinity, pull)
      // Behind it an open transaction hides what there is.
      if (pull !== null || page.nextOffset >= page.lastStableOffset) positions.delete(page.partition)
      else positions.set(page.partition, page.nextOffset)
    }
  }
  return oldest
}

function firstPullOf(page: FetchedPartition): number | null {
  for (const { batch } of batchesOf(page, Infinity, () => ({ events: 1, bytes: 0 }), () => undefined)) if (batch !== null) return batch.pulledAt
  return null
}
