import { eventsOf, type Batch } from '../../pipeline/event.ts'
import { tailFor, wireTail } from '../../pipeline/wire.ts'
import type { LineSettings } from '../line.ts'

/** Facility user, severity info, version 1. */
const PRIORITY_AND_VERSION = '<14>1'
/** What Proofpoint's own syslog form of the same events has there, so that rules for it find them. */
const APP_NAME = 'ProofpointTAP'
/** RFC 5612 keeps this enterprise number for whoever has none of their own. */
const SD_ID = 'tap@32473'
const NIL = '-'
const HOST_MAX = 255
const MSGID_MAX = 32

/**
 * What stands before an event's JSON (RFC 5424, 6): priority, the pull's time with milliseconds in UTC, host, `ProofpointTAP`, no process id,
 * the service as the message's kind, and where it comes from and belongs to as structured data.
 */
export function syslogHeader({ pulledAt, inputId, service }: Pick<Batch, 'pulledAt' | 'inputId' | 'service'>, { hostName, tagOf }: LineSettings): Buffer {
  const data = `[${SD_ID} input="${parameter(inputId)}" tag="${parameter(tagOf(inputId, service))}"]`
  const head = [PRIORITY_AND_VERSION, new Date(pulledAt).toISOString(), printable(hostName, HOST_MAX), APP_NAME, NIL, printable(service, MSGID_MAX), data]
  return Buffer.from(`${head.join(' ')} `)
}

/**
 * A batch as it goes on the wire: each event a frame of its own, its length in bytes before it (RFC 6587, 3.4.1) and no line end behind it.
 * The message is the event's own bytes with the members that are added (wire.ts), UTF-8 without a byte order mark: receivers hand one on as a
 * part of the text, and it would be no JSON any more.
 */
export function encodeFrames(batch: Batch, settings: LineSettings): Buffer {
  const header = syslogHeader(batch, settings)
  const tail = wireTail(batch)
  const pieces: Uint8Array[] = []
  for (const event of eventsOf(batch)) {
    const end = tailFor(event, tail)
    const length = header.length + event.length - 1 + end.length
    pieces.push(Buffer.from(`${length} `, 'latin1'), header, event.subarray(0, -1), end)
  }
  return Buffer.concat(pieces)
}

/** A field of the header: printable ASCII without spaces. */
function printable(text: string, longest: number): string {
  return text.replace(/[^\x21-\x7e]/gu, NIL).slice(0, longest) || NIL
}

/** The value of a parameter of the structured data. Control characters would be allowed, but receivers rewrite them. */
function parameter(text: string): string {
  return text.replace(/\p{Cc}/gu, NIL).replace(/["\\\]]/g, '\\$&')
}
