import { FatalError } from '../../pipeline/errors.ts'
import { FINGERPRINT_BYTES } from '../../pipeline/event.ts'
import type { Gap, Window } from '../../pipeline/unit.ts'
import type { Layout, SavedMove, SavedOutput, SavedPosition } from './state-records.ts'

/** Of what may be anything. */
const LONGEST_KEY = 200

type Fields = Readonly<Record<string, unknown>>

/**
 * The values of the state topic as they are read. Other programs can write to a topic, and a mark that is none would lose events: what is not
 * what stands behind its key is a FatalError, never a guess. Null is a tombstone. Members that are not known here are let through.
 */
export const readValue = {
  layout: reader<Layout>((value) => isFields(value) && isCount(value.version) && (value.departure === undefined || isDeparture(value.departure))),
  move: reader<SavedMove>(
    (value) =>
      isFields(value) && isText(value.from) && isText(value.source) && isCount(value.section) && isCount(value.chunk) && isCount(value.deadLetter) &&
      typeof value.done === 'boolean' && isFields(value.begin) && Object.values(value.begin).every(isOffsets),
  ),
  output: reader<SavedOutput>((value) => isFields(value) && isOffsets(value.begin) && isCount(value.missedEvents) && typeof value.open === 'boolean'),
  position: reader<SavedPosition>(
    (value) =>
      isFields(value) && isWhole(value.settled) && isWhole(value.readAt) && (value.startTime === null || isWhole(value.startTime)) &&
      Array.isArray(value.holes) && value.holes.every((hole) => isWindow(hole) && isWhole(hole.since) && isWhole(hole.triedAt) && isText(hole.reason)),
  ),
  gap: reader<Gap>((value) => isWindow(value) && isWhole(value.recordedAt) && isText(value.reason)),
  requests: reader<number>(isCount),
  removed: reader<number>(isWhole),
  seen(key: string, value: Buffer | null): Uint8Array | null {
    if (value !== null && (value.length === 0 || value.length % FINGERPRINT_BYTES !== 0)) throw unreadable(key)
    return value
  },
} as const

// The caller says what it is that the test is for.
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
function reader<Value>(isValue: (value: unknown) => boolean): (key: string, value: Buffer | null) => Value | null {
  return (key, value) => {
    if (value === null) return null
    const parsed = parse(value)
    if (!isValue(parsed)) throw unreadable(key)
    // Looked at just above.
    return parsed as Value
  }
}

/** Undefined for what is no JSON. */
function parse(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString())
  } catch {
    return undefined
  }
}

function unreadable(key: string): FatalError {
  return new FatalError(
    `the state topic has a record that no collector has written, under the key ${JSON.stringify(key.slice(0, LONGEST_KEY))}: another program writes to it, or it is ` +
      'damaged. Stop that program, and write the record anew as it was before; or use another topic_prefix',
    { code: 'KafkaStateForeign' },
  )
}

function isDeparture(value: unknown): boolean {
  return isFields(value) && isText(value.id) && isText(value.to) && isTime(value.at)
}

function isWindow(value: unknown): value is Fields & Window {
  return isFields(value) && isWhole(value.from) && isWhole(value.to)
}

function isOffsets(value: unknown): boolean {
  return isFields(value) && Object.values(value).every(isCount)
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Any that a Date can show. */
function isTime(value: unknown): boolean {
  return isWhole(value) && Math.abs(value) <= 8.64e15
}

function isCount(value: unknown): boolean {
  return isWhole(value) && value >= 0
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function isText(value: unknown): boolean {
  return typeof value === 'string'
}
