import { sizeOfVarint, writeVarint } from '../../kafka/varint.ts'
import { FINGERPRINT_BYTES, type Pull } from '../../pipeline/event.ts'
import type { Window } from '../../pipeline/unit.ts'
import { HEADER_BYTES, readSchema, SingleObjectCodec } from './single-object.ts'

export interface DecodedTapEvent {
  /** The same object for records that follow each other and are of one pull and window. */
  readonly pull: Pull
  readonly window: Window
  /** Views of the record. */
  readonly fingerprint: Uint8Array
  readonly event: Uint8Array
}

/** What avsc makes of the schema. */
interface TapEvent {
  readonly input_id: string
  readonly service: string
  readonly pulled_at: number
  readonly window_from: number
  readonly window_to: number
  readonly environment: string | null
  readonly fingerprint: Buffer
  readonly event: Buffer
}

/** A change of the schema adds the former one here as a second argument, or what lies in the topics could no longer be read. */
export const tapEventCodec = new SingleObjectCodec(readSchema('tap-event'))

/**
 * Encodes the events of one pull and window. All that they share is encoded once by avsc; behind it come 16 bytes, a length and the
 * event's own bytes (the schema's last two fields are in this order for that). A fingerprint that has not 16 bytes throws RangeError.
 * `allocate` gives the memory of each.
 */
export function tapEventEncoder(
  pull: Pull,
  { from, to }: Window,
  allocate: (bytes: number) => Buffer = (bytes) => Buffer.allocUnsafe(bytes),
): (fingerprint: Uint8Array, event: Uint8Array) => Buffer {
  const { inputId, service, pulledAt, environment } = pull
  const value: TapEvent = {
    // avsc writes half a surrogate pair as bytes that strict readers refuse.
    input_id: inputId.toWellFormed(),
    service: service.toWellFormed(),
    pulled_at: pulledAt,
    window_from: from,
    window_to: to,
    environment: environment?.toWellFormed() ?? null,
    fingerprint: Buffer.alloc(FINGERPRINT_BYTES),
    event: Buffer.alloc(0),
  }
  const empty = tapEventCodec.encode(value)
  // Without the empty fingerprint and the length 0 of the empty event.
  const prefix = empty.subarray(0, empty.length - FINGERPRINT_BYTES - 1)
  return (fingerprint, event) => {
    if (fingerprint.length !== FINGERPRINT_BYTES) throw new RangeError(`a fingerprint of ${fingerprint.length} bytes`)
    const at = prefix.length + FINGERPRINT_BYTES
    const record = allocate(at + sizeOfVarint(event.length) + event.length)
    record.set(prefix, 0)
    record.set(fingerprint, prefix.length)
    record.set(event, writeVarint(record, event.length, at))
    return record
  }
}

/** Reads one event. Throws UndecodableRecordError. */
export type TapEventDecoder = (record: Buffer) => DecodedTapEvent

/** It remembers the pull that it has seen last. What an older or newer schema has written takes longer and is copied. */
export function tapEventDecoder(codec: SingleObjectCodec): TapEventDecoder {
  let lastPrefix = Buffer.alloc(0)
  let last: { readonly pull: Pull; readonly window: Window } | null = null

  return (record) => {
    // Neighbours are nearly always of one pull: then nothing but the last two fields has to be looked at.
    const known = lastPrefix.length
    if (last !== null && record.length > known && record.compare(lastPrefix, 0, known, 0, known) === 0) {
      const tail = readTail(record, known)
      if (tail !== null) return { ...last, ...tail }
    }
    // The codec has checked it against the schema.
    const value = codec.decode(record) as TapEvent
    const pull = { inputId: value.input_id, service: value.service, pulledAt: value.pulled_at, environment: value.environment }
    const window = { from: value.window_from, to: value.window_to }
    const prefixEnd = record.length - value.event.length - sizeOfVarint(value.event.length) - FINGERPRINT_BYTES
    const isOwn = record.compare(codec.header, 0, HEADER_BYTES, 0, HEADER_BYTES) === 0
    const tail = isOwn ? readTail(record, prefixEnd) : null
    // Another writer may have spent more bytes on the length than it needs; then the prefix is not where it was looked for.
    if (tail === null || !value.fingerprint.equals(tail.fingerprint)) return { pull, window, fingerprint: value.fingerprint, event: value.event }
    lastPrefix = Buffer.from(record.subarray(0, prefixEnd))
    last = { pull, window }
    return { ...last, ...tail }
  }
}

export const decodeTapEvent = tapEventDecoder(tapEventCodec)

/** `<input id>/<service>/<fingerprint in hex>` */
export function eventKey(inputId: string, service: string, fingerprint: Uint8Array): Buffer {
  const hex = Buffer.from(fingerprint.buffer, fingerprint.byteOffset, fingerprint.byteLength).toString('hex')
  return Buffer.from(`${inputId}/${service}/${hex}`)
}

/** The last two fields; null where the event does not end with the record. */
function readTail(record: Buffer, at: number): { readonly fingerprint: Uint8Array; readonly event: Uint8Array } | null {
  let position = at + FINGERPRINT_BYTES
  let length = 0
  for (let factor = 1; ; factor *= 128) {
    const byte = record[position]
    if (byte === undefined || factor > 2 ** 42) return null
    position += 1
    length += (byte & 0x7f) * factor
    if (byte < 0x80) break
  }
  // Avro's long is a zigzag number; a length is never negative.
  if (length % 2 !== 0 || position + length / 2 !== record.length) return null
  return { fingerprint: record.subarray(at, at + FINGERPRINT_BYTES), event: record.subarray(position) }
}
