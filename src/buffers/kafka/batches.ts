import type { FetchedPartition } from '../../kafka/partition-reader.ts'
import { CHUNK_MAX_BYTES, CHUNK_MAX_EVENTS, FINGERPRINT_BYTES, type Batch, type Pull } from '../../pipeline/event.ts'
import type { Window } from '../../pipeline/unit.ts'
import { mayHaveOwnMembers } from '../../pipeline/wire.ts'
import { UndecodableRecordError } from './single-object.ts'
import { decodeTapEvent, type DecodedTapEvent } from './tap-event.ts'

const NEWLINE = 0x0a
const OPEN = 0x7b
const CLOSE = 0x7d
/** The end of the year 9999: later times are written with more digits. */
const LAST_TIME = 253_402_300_799_999

export interface Undecodable {
  readonly partition: number
  readonly offset: number
  readonly value: Uint8Array
  readonly error: unknown
}

/** A batch, and the offset behind its last record; without a batch only the offset moves. */
export interface Step {
  readonly batch: (Batch & { readonly window: Window }) | null
  readonly next: number
}

export interface Room {
  readonly events: number
  readonly bytes: number
}

/**
 * Chunks of what was fetched of one partition, below `end`, of at most `room()` each. Records of one pull and window that follow each other share a
 * chunk, as they were appended. A record that is no event is told and passed over.
 */
export function* batchesOf(
  page: FetchedPartition,
  end: number,
  room: () => Room,
  onUndecodable: (record: Undecodable) => void,
): Generator<Step> {
  let most: Room = { events: 0, bytes: 0 }
  let events: DecodedTapEvent[] = []
  let bytes = 0
  let next = 0
  for (const { offset, value } of page.records) {
    if (offset >= end) break
    const event = decode(page.partition, offset, value, onUndecodable)
    if (event === null) continue
    const size = event.event.length + 1
    const isFull = events.length >= most.events || bytes + size > most.bytes
    if (events[0] !== undefined && (isFull || !isSameUnit(events[0], event))) {
      yield { batch: chunkOf(events[0], events, bytes), next }
      events = []
      bytes = 0
    }
    if (events.length === 0) most = chunkRoom(room())
    events.push(event)
    bytes += size
    next = offset + 1
  }
  if (events[0] !== undefined) yield { batch: chunkOf(events[0], events, bytes), next }
  yield { batch: null, next: Math.min(page.nextOffset, end) }
}

function chunkRoom({ events, bytes }: Room): Room {
  return { events: Math.min(CHUNK_MAX_EVENTS, events), bytes: Math.min(CHUNK_MAX_BYTES, bytes) }
}

function decode(
  partition: number,
  offset: number,
  value: Buffer | null,
  onUndecodable: (record: Undecodable) => void,
): DecodedTapEvent | null {
  try {
    if (value === null) throw new UndecodableRecordError('no value')
    const decoded = decodeTapEvent(value)
    assertEvent(decoded)
    return decoded
  } catch (error) {
    onUndecodable({ partition, offset, value: value ?? new Uint8Array(), error })
    return null
  }
}

/**
 * Throws UndecodableRecordError. Other programs can write to a topic: what would break the lines of a chunk, or what a sink puts into an event,
 * would hold up its output for ever. Whether all the rest is JSON is for the destination to say.
 */
function assertEvent({ event, pull: { service, pulledAt } }: DecodedTapEvent): void {
  if (!/^[\w.-]+$/.test(service)) throw new UndecodableRecordError('its service is not a name')
  if (!(pulledAt >= 0 && pulledAt <= LAST_TIME)) throw new UndecodableRecordError('the time of its pull is none')
  const isLine = event[0] === OPEN && event.at(-1) === CLOSE && !event.includes(NEWLINE)
  if (!isLine || (mayHaveOwnMembers(event) && !isJson(event))) throw new UndecodableRecordError('not one JSON object in one line')
}

function isJson(event: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(event.buffer, event.byteOffset, event.byteLength).toString())
    return true
  } catch {
    return false
  }
}

function isSameUnit(a: DecodedTapEvent, b: DecodedTapEvent): boolean {
  return isSamePull(a.pull, b.pull) && a.window.from === b.window.from && a.window.to === b.window.to
}

function isSamePull(a: Pull, b: Pull): boolean {
  return a === b || (a.inputId === b.inputId && a.service === b.service && a.pulledAt === b.pulledAt && a.environment === b.environment)
}

function chunkOf({ pull: { inputId, service, pulledAt, environment }, window }: DecodedTapEvent, events: readonly DecodedTapEvent[], bytes: number) {
  const lines = new Uint8Array(bytes)
  const fingerprints = new Uint8Array(events.length * FINGERPRINT_BYTES)
  let at = 0
  events.forEach(({ event, fingerprint }, index) => {
    lines.set(event, at)
    at += event.length
    lines[at] = NEWLINE
    at += 1
    fingerprints.set(fingerprint, index * FINGERPRINT_BYTES)
  })
  return { inputId, service, pulledAt, environment, window, lines, fingerprints }
}
