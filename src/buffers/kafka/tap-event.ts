import { FINGERPRINT_BYTES, type Pull } from '../../pipeline/event.ts'
import type { Window } from '../../pipeline/unit.ts'
import { HEADER_BYTES, readSchema, SingleObjectCodec } from './single-object.ts'

export interface DecodedTapEvent {
  /** The same object for records that follow each other and are of one pull and window. */
  readonly pull: Pull
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

export const tapEventCodec = new SingleObjectCodec(readSchema('tap-event'))

/**
 * Encodes the events of one pull and window. All that they share is encoded once by avsc; behind it come 16 bytes, a length and the
 * event's own bytes (the schema's last three fields are in this order for that).
 */
export function tapEventEncoder(pull: Pull, { from, to }: Window): (fingerprint: Uint8Array, event: Uint8Array) => Buffer {
  const { inputId, service, pulledAt, environment } = pull
  const value: Omit<TapEvent, 'environment'> & { readonly environment: string | { readonly string: string } | null } = {
    input_id: inputId,
    service,
    pulled_at: pulledAt,
    window_from: from,
    window_to: to,
    environment,
    fingerprint: Buffer.alloc(FINGERPRINT_BYTES),
    event: Buffer.alloc(0),
  }
  const empty = tapEventCodec.encode(value)
  // Without the empty fingerprint and the length 0 of the empty event.
  const prefix = empty.subarray(0, empty.length - FINGERPRINT_BYTES - 1)
  return (fingerprint, event) => {
    const at = prefix.length + FINGERPRINT_BYTES
    const record = Buffer.allocUnsafe(at + lengthBytes(event.length) + event.length)
    record.set(prefix, 0)
    record.set(fingerprint, prefix.length)
    record.set(event, writeLength(record, at, event.length))
    return record
  }
}

let lastPrefix = Buffer.alloc(0)
let lastPull: Pull | null = null

/** Throws UndecodableRecordError. */
export function decodeTapEvent(record: Buffer): DecodedTapEvent {
  // Neighbours are nearly always of one pull: then nothing but the last three fields has to be looked at.
  const isSamePull = lastPull !== null && record.length > lastPrefix.length && record.compare(lastPrefix, 0, lastPrefix.length, 0, lastPrefix.length) === 0
  if (isSamePull && lastPull !== null) {
    const tail = readTail(record, lastPrefix.length)
    if (tail !== null) return { pull: lastPull, ...tail }
  }
  // The codec has checked it against the schema.
  const value = tapEventCodec.decode(record) as TapEvent
  const pull = { inputId: value.input_id, service: value.service, pulledAt: value.pulled_at, environment: value.environment }
  const eventAt = record.length - value.event.length
  const prefixEnd = eventAt - lengthBytes(value.event.length) - FINGERPRINT_BYTES
  const tail = prefixEnd > HEADER_BYTES && record.subarray(0, HEADER_BYTES).equals(tapEventCodec.header) ? readTail(record, prefixEnd) : null
  if (tail === null) return { pull, fingerprint: value.fingerprint, event: value.event }
  lastPrefix = Buffer.from(record.subarray(0, prefixEnd))
  lastPull = pull
  return { pull, ...tail }
}

/** `<input id>/<service>/<fingerprint in hex>` */
export function eventKey(inputId: string, service: string, fingerprint: Uint8Array): Buffer {
  return Buffer.from(`${inputId}/${service}/${Buffer.from(fingerprint.buffer, fingerprint.byteOffset, fingerprint.byteLength).toString('hex')}`)
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

function lengthBytes(length: number): number {
  let bytes = 1
  for (let rest = length * 2; rest >= 128; rest = Math.floor(rest / 128)) bytes += 1
  return bytes
}

function writeLength(record: Buffer, at: number, length: number): number {
  let position = at
  let rest = length * 2
  for (; rest >= 128; rest = Math.floor(rest / 128)) {
    record[position] = (rest % 128) | 0x80
    position += 1
  }
  record[position] = rest
  return position + 1
}
