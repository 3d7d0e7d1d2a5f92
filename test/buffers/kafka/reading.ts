import { randomUUID } from 'node:crypto'
import { pino, type Logger } from 'pino'
import { onTestFinished } from 'vitest'
import { openKafkaBuffer, type KafkaBufferOptions } from '../../../src/buffers/kafka/kafka.ts'
import type { EventBuffer } from '../../../src/pipeline/buffer.ts'
import { systemClock, type Clock } from '../../../src/pipeline/clock.ts'
import { Conditions } from '../../../src/pipeline/conditions.ts'
import { Counters } from '../../../src/pipeline/counters.ts'
import type { Batch } from '../../../src/pipeline/event.ts'
import type { ShipmentContext, Sink } from '../../../src/pipeline/sink.ts'
import { supervise, type Output } from '../../../src/pipeline/supervisor.ts'
import { textsOf, unitOf } from '../../contract/buffer-units.ts'
import { sharedBroker } from '../../support/kafka.ts'
import { standBeside, type Beside } from './beside.ts'

/** Whoever has failed tries again soon. */
const impatient: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 200), signal) }
/** Short enough for a test, long enough for a busy machine. */
export const SESSION_MS = 3_000

/** The topics of one test. */
export interface Topics extends Beside {
  /** As a process does that begins; it is closed with the test. */
  open(options?: Partial<KafkaBufferOptions>): Promise<EventBuffer>
  /** Appended as a collector does: 100 events a chunk, and chunks go to partitions by their fingerprints. */
  append(events: readonly string[]): Promise<void>
}

export async function makeTopics({ partitions = 1, ...common }: Partial<KafkaBufferOptions> = {}): Promise<Topics> {
  const brokers = await sharedBroker()
  const beside = standBeside(brokers, `r${randomUUID()}`)
  const open = async (options: Partial<KafkaBufferOptions> = {}): Promise<EventBuffer> => {
    const buffer = await openKafkaBuffer({
      connection: { brokers, ssl: false, sasl: null }, prefix: beside.prefix, partitions, replicationFactor: null, retentionMs: 3_600_000,
      compression: 'none', createTopics: true, clock: systemClock, log: pino({ level: 'silent' }),
      groupTimeouts: { sessionTimeoutMs: SESSION_MS }, ...common, ...options,
    })
    onTestFinished(() => buffer.close())
    return buffer
  }
  return {
    ...beside,
    open,
    async append(texts) {
      const buffer = await open()
      const ownership = await buffer.ownInputs(new AbortController().signal)
      const chunks = Array.from({ length: Math.ceil(texts.length / 100) }, (_, chunk) => texts.slice(chunk * 100, (chunk + 1) * 100))
      for (let at = 0; at < chunks.length; at += 100) await buffer.append(unitOf({ chunks: chunks.slice(at, at + 100) }))
      await ownership.release()
      await buffer.close()
    },
  }
}

/** What is done with a shipment once all of it was written: it fails with what this throws. */
type Prove = (events: readonly string[], context: ShipmentContext) => Promise<void>

/** A destination that several processes may share: what was proven, in order, and by whom. */
export class Destination {
  readonly delivered: { readonly event: string; readonly by: string }[] = []
  /** All that came, proven or not. */
  readonly written: string[] = []
  prove: Prove = async () => undefined
  readonly #changed = new Set<() => void>()

  get events(): string[] {
    return this.delivered.map(({ event }) => event)
  }

  /** Each event that was proven more than once. */
  get doubled(): string[] {
    const seen = new Set<string>()
    return this.events.filter((event) => seen.size === seen.add(event).size)
  }

  sink(by: string): Sink {
    return {
      maxShipmentsInFlight: 4,
      ship: (context) => async (batches: AsyncIterable<Batch>) => {
        const events: string[] = []
        for await (const batch of batches) events.push(...textsOf(batch))
        this.written.push(...events)
        await this.prove(events, context)
        this.delivered.push(...events.map((event) => ({ event, by })))
        this.#tell()
      },
      check: async () => undefined,
      close: async () => undefined,
    }
  }

  /** Resolves once the condition holds; it is asked after each shipment. The test's own time-out is its end. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.changed()
  }

  /** Resolves with the next shipment that is proven. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#changed.add(resolve))
  }

  #tell(): void {
    for (const wake of this.#changed) wake()
    this.#changed.clear()
  }
}

export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly [field: string]: unknown
}

/** A log that a test reads. */
export function readableLog(onLine: () => void = () => undefined): { readonly log: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const write = (line: string): void => {
    lines.push(JSON.parse(line) as LogLine) // pino's own form
    onLine()
  }
  const log: Logger = pino({ level: 'debug' }, { write })
  return { log, lines }
}

export interface Process {
  readonly buffer: EventBuffer
  readonly lines: readonly LogLine[]
  readonly conditions: Conditions
  /** Resolves with the first line of that text. */
  logged(text: string): Promise<LogLine>
  nextLine(): Promise<void>
  /** As after SIGTERM: what is in flight is proven, then it leaves its groups. */
  stop(): Promise<void>
}

/** The delivering half of a collector in this process: the real loops over a buffer of its own, and no inputs. */
export async function startProcess(
  topics: Topics,
  outputs: readonly (Pick<Output, 'name' | 'sink'> & Partial<Output>)[],
  options: Partial<KafkaBufferOptions> = {},
): Promise<Process> {
  const waiting = new Set<() => void>()
  const { log, lines } = readableLog(() => {
    for (const wake of waiting) wake()
    waiting.clear()
  })
  const nextLine = (): Promise<void> => new Promise((resolve) => waiting.add(resolve))
  const buffer = await topics.open({ log, ...options })
  const stop = new AbortController()
  const conditions = new Conditions(() => Date.now())
  const running = supervise({
    sources: [],
    outputs: outputs.map((output) => ({
      transforms: [], shipmentsInFlight: 4, maxShipmentEvents: 100, maxShipmentBytes: 1_000_000, startFrom: 'oldest', ...output,
    })),
    buffer, clock: impatient, log, conditions, counters: new Counters(), stop: stop.signal, once: false,
  })
  running.catch(() => undefined) // told by `stop`
  const end = async (): Promise<void> => {
    stop.abort(new Error('stopped'))
    await running
    await buffer.close()
  }
  onTestFinished(() => end().catch(() => undefined))
  return {
    buffer,
    lines,
    conditions,
    nextLine,
    async logged(text) {
      for (;;) {
        const line = lines.find(({ msg }) => msg.includes(text))
        if (line !== undefined) return line
        await nextLine()
      }
    },
    stop: end,
  }
}
