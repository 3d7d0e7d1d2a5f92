import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import { openEmbeddedBuffer } from '../../src/buffers/embedded/embedded.ts'
import type { EventBuffer } from '../../src/pipeline/buffer.ts'
import { systemClock, type Clock } from '../../src/pipeline/clock.ts'
import { Conditions } from '../../src/pipeline/conditions.ts'
import { Counters } from '../../src/pipeline/counters.ts'
import { eventsOf, FINGERPRINT_BYTES, type Batch } from '../../src/pipeline/event.ts'
import type { ShipmentContext, Sink } from '../../src/pipeline/sink.ts'
import { supervise, type Output, type SupervisorOptions } from '../../src/pipeline/supervisor.ts'
import type { Position, Unit } from '../../src/pipeline/unit.ts'

export const silent = pino({ level: 'silent' })

/** A clock whose waits are over at once, so that backoff costs a test nothing. */
export const hurried: Clock = {
  ...systemClock,
  sleep: async (_ms, signal) => {
    await new Promise((resolve) => setImmediate(resolve))
    signal?.throwIfAborted()
  },
}

export async function temporaryFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'tap-pipeline-'))
  onTestFinished(() => rm(dir, { recursive: true, force: true }))
  return dir
}

export async function openBuffer(dir: string): Promise<EventBuffer> {
  const buffer = await openEmbeddedBuffer({
    dir,
    retentionMs: 3_600_000,
    maxSizeBytes: 1e9,
    clock: systemClock,
    log: silent,
    inThread: true,
  })
  onTestFinished(() => buffer.close())
  return buffer
}

const START = Date.UTC(2026, 10, 20)

export function position(change: Partial<Position> = {}): Position {
  return { settled: START, readAt: START, holes: [], gaps: [], seen: null, forgotten: [], ...change }
}

/** A unit with one chunk for each inner list of event names. */
export function unit(chunks: readonly (readonly string[])[], change: Partial<Unit> = {}): Unit {
  return {
    inputId: '12345',
    service: 'clicksBlocked',
    pulledAt: START,
    environment: null,
    window: { from: START, to: START + 3_600_000 },
    deadLetters: [],
    position: position(),
    chunks: chunks.map((names) => ({
      lines: ownBytes(names.map((name) => `{"name":"${name}"}\n`).join('')),
      fingerprints: new Uint8Array(names.length * FINGERPRINT_BYTES),
    })),
    ...change,
  }
}

function ownBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text).slice()
}

export function namesOf(batch: Batch): string[] {
  return [...eventsOf(batch)].map((event) => /"name":"([^"]*)"/.exec(Buffer.from(event).toString())?.[1] ?? '')
}

type Behaviour = (names: readonly string[], context: ShipmentContext, batches: readonly Batch[]) => Promise<void> | void

/** A destination in memory: `behave` decides each shipment's fate once all of it was written; only what it let pass counts as arrived. */
export class ModelSink implements Sink {
  readonly maxShipmentsInFlight: number
  readonly arrived: string[] = []
  readonly shipped: string[][] = []
  checks = 0
  #behave: Behaviour
  #check: () => Promise<void>

  constructor({
    maxShipmentsInFlight = 8,
    behave = () => undefined,
    check = async () => undefined,
  }: { maxShipmentsInFlight?: number; behave?: Behaviour; check?: () => Promise<void> } = {}) {
    this.maxShipmentsInFlight = maxShipmentsInFlight
    this.#behave = behave
    this.#check = check
  }

  ship(context: ShipmentContext) {
    return async (source: AsyncIterable<Batch>): Promise<void> => {
      const batches: Batch[] = []
      for await (const batch of source) batches.push(batch)
      const names = batches.flatMap(namesOf)
      if (names.length > 0) this.shipped.push(names)
      await this.#behave(names, context, batches)
      this.arrived.push(...names)
    }
  }

  async check(): Promise<void> {
    this.checks += 1
    await this.#check()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

export function outputTo(name: string, sink: Sink): Output {
  return { name, sink, transforms: [], shipmentsInFlight: 4, maxShipmentEvents: 100, maxShipmentBytes: 1e6, startFrom: 'now' }
}

/** `supervise` with nothing to read or to deliver to, on a clock whose waits are over at once, until it has done what is due. */
export function superviseWith(options: Pick<SupervisorOptions, 'buffer'> & Partial<SupervisorOptions>): Promise<void> {
  return supervise({
    sources: [],
    outputs: [],
    clock: hurried,
    log: silent,
    conditions: new Conditions(() => 0),
    counters: new Counters(),
    stop: new AbortController().signal,
    once: true,
    ...options,
  })
}
