import { createHash } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import type { BatchStream, Cursor, EventBuffer, OutputShare, OutputStart, ReadRange } from '../../src/pipeline/buffer.ts'
import type { Batch, Chunk } from '../../src/pipeline/event.ts'
import { eventsOf } from '../../src/pipeline/event.ts'
import type { DeadLetter, Position, Unit } from '../../src/pipeline/unit.ts'

export const INPUT = '12345'
export const SERVICE = 'clicksBlocked'
export const HOUR_MS = 3_600_000

export interface UnitOptions extends Partial<Omit<Unit, 'chunks' | 'position'>> {
  /** The events of each chunk, as JSON. */
  readonly chunks?: readonly (readonly string[])[]
  readonly position?: Partial<Position>
}

/** A unit of the given chunks; the rest is of no interest to the test. Its bytes are given away by an append: make a new one each time. */
export function unitOf({ chunks = [], position = {}, ...rest }: UnitOptions = {}): Unit {
  return {
    inputId: INPUT,
    service: SERVICE,
    pulledAt: Date.now(),
    environment: null,
    window: { from: 0, to: HOUR_MS },
    chunks: chunks.map(chunkOf),
    deadLetters: [],
    ...rest,
    position: { settled: 1, readAt: 2, holes: [], gaps: [], seen: null, forgotten: [], ...position },
  }
}

export function chunkOf(events: readonly string[]): Chunk {
  const lines = new TextEncoder().encode(events.map((event) => `${event}\n`).join(''))
  return { lines: new Uint8Array(lines), fingerprints: fingerprintsOf(events) }
}

export function fingerprintsOf(events: readonly string[]): Uint8Array {
  return new Uint8Array(Buffer.concat(events.map((event) => createHash('sha256').update(event).digest().subarray(0, 16))))
}

/** `{"n":3}`: short events that tell which they are. */
export function numbered(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `{"n":${from + index}}`)
}

/** Chunks of so many numbered events of about `bytes` each. */
export function padded(from: number, count: number, bytes: number): string[] {
  return Array.from({ length: count }, (_, index) => `{"n":${from + index},"pad":"${'x'.repeat(bytes)}"}`)
}

export function deadLetterOf(event: string, output: string | null, reason = 'refused'): DeadLetter {
  const bytes = new TextEncoder().encode(event)
  return {
    inputId: INPUT, service: SERVICE, pulledAt: 5, environment: 'prod', output, reason, at: 6,
    event: bytes, size: bytes.length, fingerprint: fingerprintsOf([event]),
  }
}

export type Limits = Partial<Pick<ReadRange, 'to' | 'maxEvents' | 'maxBytes' | 'signal'>>

export function openRead(buffer: EventBuffer, output: string, from: Cursor, limits: Limits = {}): BatchStream {
  return buffer.read(output, { from, maxEvents: 1_000_000, maxBytes: 2 ** 40, signal: new AbortController().signal, ...limits })
}

/** Reads one shipment to its end. */
export async function readShipment(buffer: EventBuffer, output: string, from: Cursor, limits: Limits = {}) {
  const stream = openRead(buffer, output, from, limits)
  const batches: Batch[] = []
  // A BatchStream carries batches.
  for await (const batch of stream) batches.push(batch as Batch)
  return { batches, events: batches.flatMap(textsOf), cursor: stream.cursor, eventsRead: stream.eventsRead }
}

export function textsOf(batch: Chunk): string[] {
  return [...eventsOf(batch)].map((event) => new TextDecoder().decode(event))
}

/** Lets everything run that is ready, without waiting for time: enough to see that something has not happened yet. */
export async function settle(): Promise<void> {
  for (let turns = 0; turns < 20; turns += 1) await turn()
}

/** The shares that `openShares` took last. */
const taken = new WeakMap<EventBuffer, ReadonlyMap<string, OutputShare>>()

/** Opens the outputs and takes a share of each, as a collector does that begins; what was taken before is given back. */
export async function openShares(buffer: EventBuffer, outputs: readonly OutputStart[]): Promise<ReadonlyMap<string, OutputShare>> {
  await Promise.all([...(taken.get(buffer)?.values() ?? [])].map((share) => share.release()))
  await buffer.openOutputs(outputs)
  const { signal } = new AbortController()
  const shares = new Map(await Promise.all(outputs.map(async ({ name }) => [name, await buffer.takeShare(name, signal)] as const)))
  taken.set(buffer, shares)
  return shares
}
