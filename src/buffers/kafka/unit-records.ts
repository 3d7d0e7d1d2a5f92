import type { TopicRecords } from '../../kafka/transactional-producer.ts'
import { eventsOf, FINGERPRINT_BYTES } from '../../pipeline/event.ts'
import type { DeadLetter, Unit, Window } from '../../pipeline/unit.ts'
import { encodeDeadLetter } from './dead-letter.ts'
import { eventKey, tapEventEncoder } from './tap-event.ts'
import type { Topics } from './topics.ts'

/** A broker refuses times that lie far ahead; and what is older than this would be near the end of its retention on arrival. */
export const RECORD_TIME_MAX_AGE_MS = 3_600_000

/** What is written of a unit beside its position. */
export type UnitEvents = Omit<Unit, 'position'>

/**
 * The records of a unit's events and dead letters. A chunk stays together in one partition, so that it can be read as one; `partitions` are
 * those that may be written to. The values of events lie in what `allocate` gives.
 */
export function unitRecords(
  unit: UnitEvents,
  topics: Topics,
  partitions: readonly number[],
  allocate?: (bytes: number) => Buffer,
): TopicRecords[] {
  const timestamp = recordTime(unit.pulledAt)
  const encode = tapEventEncoder(unit, unit.window, allocate)
  const byPartition = new Map<number, { key: Buffer; value: Buffer; timestamp: number }[]>()
  for (const chunk of unit.chunks) {
    const partition = partitions[(chunk.fingerprints[0] ?? 0) % partitions.length] ?? 0
    const records = byPartition.get(partition) ?? []
    byPartition.set(partition, records)
    let at = 0
    for (const event of eventsOf(chunk)) {
      const fingerprint = chunk.fingerprints.subarray(at, at + FINGERPRINT_BYTES)
      at += FINGERPRINT_BYTES
      records.push({ key: eventKey(unit.inputId, unit.service, fingerprint), value: encode(fingerprint, event), timestamp })
    }
  }
  const events = [...byPartition].map(([partition, records]): TopicRecords => ({ topic: topics.events, partition, records }))
  return unit.deadLetters.length === 0 ? events : [...events, deadLetterRecords(unit.deadLetters, topics, unit.window)]
}

export function deadLetterRecords(letters: readonly DeadLetter[], topics: Topics, window?: Window): TopicRecords {
  const records = letters.map((letter) => ({
    key: eventKey(letter.inputId, letter.service, letter.fingerprint),
    value: encodeDeadLetter(letter, window),
  }))
  return { topic: topics.deadLetters, partition: 0, records }
}

function recordTime(pulledAt: number): number {
  const now = Date.now()
  return Math.min(now, Math.max(pulledAt, now - RECORD_TIME_MAX_AGE_MS))
}
