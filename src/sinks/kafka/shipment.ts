import { Writable } from 'node:stream'
import { eventsOf, type Batch } from '../../pipeline/event.ts'
import type { ShipmentContext } from '../../pipeline/sink.ts'
import { encodeLines } from '../line.ts'

/** What is sent at once: enough that the answer costs little, and below the 1 MiB that a topic takes unless it is set otherwise. */
const SEND_BYTES = 512 * 1024
const NO_PREFIX = Buffer.alloc(0)

export interface KafkaShipmentSteps {
  /** Resolves when all replicas in sync have them. */
  send(key: Buffer, values: readonly Buffer[]): Promise<void>
  /** What is under way fails. */
  giveUp(reason: Error): void
  /** The error says that this is more than the topic takes at once. */
  isTooLarge(error: unknown): boolean
}

/** One event on its way, and what to call it where it is refused. */
interface Waiting {
  readonly value: Buffer
  readonly batch: Batch
  readonly index: number
}

/** The writing end of one shipment. Its 'finish' means that the brokers have acknowledged every event, but for those that were rejected. */
export class KafkaShipment extends Writable {
  readonly #steps: KafkaShipmentSteps
  readonly #context: ShipmentContext
  /** Of one service: all that is sent at once has one key, and so goes to one partition, which takes all or nothing. */
  #service = ''
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #isSending = false
  readonly #abort = (): void => {
    const reason: unknown = this.#context.signal.reason
    this.destroy(reason instanceof Error ? reason : new Error('the shipment was given up'))
  }

  constructor(steps: KafkaShipmentSteps, context: ShipmentContext) {
    super({ objectMode: true, highWaterMark: 1 })
    this.#steps = steps
    this.#context = context
    // Whoever gave it up before it was part of a pipeline has no handler yet.
    this.on('error', () => undefined)
    context.signal.addEventListener('abort', this.#abort)
    if (context.signal.aborted) this.#abort()
  }

  override _write(batch: Batch, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#run(() => this.#add(batch), done)
  }

  /** Never async: a Writable hangs for ever on an `async _final` that throws. */
  override _final(done: (error?: Error | null) => void): void {
    this.#run(() => this.#flush(), done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#context.signal.removeEventListener('abort', this.#abort)
    if (this.#isSending) this.#steps.giveUp(error ?? new Error('the shipment was given up'))
    this.#waiting = []
    done(error)
  }

  #run(work: () => Promise<void>, done: (error?: Error | null) => void): void {
    this.#isSending = true
    work()
      .finally(() => (this.#isSending = false))
      .then(() => done(), (error: unknown) => done(error instanceof Error ? error : new Error(String(error))))
  }

  async #add(batch: Batch): Promise<void> {
    if (batch.service !== this.#service) await this.#flush()
    this.#service = batch.service
    const lines = encodeLines(batch, NO_PREFIX)
    let index = 0
    for (const value of eventsOf({ ...batch, lines })) {
      this.#waiting.push({ value: Buffer.from(value.buffer, value.byteOffset, value.byteLength), batch, index })
      index += 1
    }
    this.#waitingBytes += lines.length
    if (this.#waitingBytes >= SEND_BYTES) await this.#flush()
  }

  async #flush(): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    await this.#send(waiting)
  }

  /** What is too large at once goes in two halves, down to the event that is too large alone. */
  async #send(events: readonly Waiting[]): Promise<void> {
    const [first] = events
    if (first === undefined) return
    try {
      await this.#steps.send(Buffer.from(this.#service), events.map(({ value }) => value))
    } catch (error) {
      if (!this.#steps.isTooLarge(error)) throw error
      if (events.length === 1) {
        this.#context.reject(first.batch, first.index, `the topic takes no event of ${first.value.length} bytes (max.message.bytes)`)
        return
      }
      const middle = Math.ceil(events.length / 2)
      await this.#send(events.slice(0, middle))
      await this.#send(events.slice(middle))
    }
  }
}
