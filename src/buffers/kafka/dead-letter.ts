import type { DeadLetter, Window } from '../../pipeline/unit.ts'
import { readSchema, SingleObjectCodec } from './single-object.ts'

/** What avsc makes of the schema. */
interface WireDeadLetter {
  readonly input_id: string
  readonly service: string
  readonly pulled_at: number
  readonly window_from: number | null
  readonly window_to: number | null
  readonly environment: string | null
  readonly output: string | null
  readonly reason: string
  readonly at: number
  readonly size: number
  readonly fingerprint: Buffer
  readonly event: Buffer
}

/** A change of the schema adds the former one here as a second argument, or what lies in the topic could no longer be read. */
export const deadLetterCodec = new SingleObjectCodec(readSchema('dead-letter'))

/** `window`: that of the unit, where the source refused the event. One that comes from an embedded buffer has none. */
export function encodeDeadLetter(letter: DeadLetter, window: Window | null = letter.window ?? null): Buffer {
  const { inputId, service, pulledAt, environment, output, reason, at, size, fingerprint, event } = letter
  const value: WireDeadLetter = {
    // avsc writes half a surrogate pair as bytes that strict readers refuse.
    input_id: inputId.toWellFormed(),
    service: service.toWellFormed(),
    pulled_at: pulledAt,
    window_from: window?.from ?? null,
    window_to: window?.to ?? null,
    environment: environment?.toWellFormed() ?? null,
    output: output?.toWellFormed() ?? null,
    reason: reason.toWellFormed(),
    at,
    size,
    fingerprint: Buffer.from(fingerprint),
    event: Buffer.from(event),
  }
  return deadLetterCodec.encode(value)
}

/** Throws UndecodableRecordError. */
export function decodeDeadLetter(record: Buffer): DeadLetter {
  // The codec has checked it against the schema.
  const { input_id, pulled_at, window_from: from, window_to: to, ...rest } = deadLetterCodec.decode(record) as WireDeadLetter
  return { ...rest, inputId: input_id, pulledAt: pulled_at, ...(from !== null && to !== null && { window: { from, to } }) }
}
