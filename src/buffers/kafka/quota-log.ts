import { randomUUID } from 'node:crypto'
import type { RecordProducer } from '../../kafka/record-producer.ts'
import type { QuotaLog } from '../../pipeline/source.ts'
import { STATE_PARTITION, type StateLog } from './state-log.ts'
import { jsonRecord, tombstone, type StateRecord } from './state-records.ts'
import type { Topics } from './topics.ts'

/**
 * The requests sent, on the state topic and outside any transaction: a request counts whatever becomes of what it brought. Each process
 * writes its own counts under a name of its own, so that two of them never overwrite each other's.
 */
export class KafkaQuotaLog implements QuotaLog {
  readonly #producer: RecordProducer
  readonly #stateLog: StateLog
  readonly #topics: Topics
  readonly #writer = randomUUID().slice(0, 8)
  readonly #counts = new Map<string, Map<number, number>>()
  #tail: Promise<unknown> = Promise.resolve()

  constructor(producer: RecordProducer, stateLog: StateLog, topics: Topics) {
    this.#producer = producer
    this.#stateLog = stateLog
    this.#topics = topics
  }

  async load(pool: string): Promise<readonly (readonly [minute: number, requests: number])[]> {
    return (await this.#stateLog.settled()).requestsOf(pool)
  }

  /** One after the other: an earlier and lower count must not land behind a later one. The limits need no look: only the owner of the inputs counts. */
  count(pool: string, minute: number, forgetBefore: number): Promise<boolean> {
    const next = this.#tail.then(() => this.#count(pool, minute, forgetBefore))
    this.#tail = next.catch(() => undefined)
    return next
  }

  async #count(pool: string, minute: number, forgetBefore: number): Promise<true> {
    const minutes = this.#counts.get(pool) ?? new Map<number, number>()
    this.#counts.set(pool, minutes)
    const count = (minutes.get(minute) ?? 0) + 1
    const isNewMinute = !minutes.has(minute)
    // Also where the answer is lost: the request is then not sent, and the count is one too high at worst.
    minutes.set(minute, count)
    const records: StateRecord[] = [jsonRecord({ kind: 'requests', pool, minute, writer: this.#writer }, count)]
    if (isNewMinute) {
      for (const old of [...minutes.keys()]) if (old < forgetBefore) minutes.delete(old)
      records.push(...(await this.#stateLog.refresh()).requestsBefore(pool, forgetBefore).map(tombstone))
    }
    await this.#producer.send([
      {
        topic: this.#topics.state,
        partition: STATE_PARTITION,
        records: records.map(({ key, value }) => ({ key: Buffer.from(key), value })),
      },
    ])
    return true
  }
}
