import { jsonRecord, seenRecord, windowText, type StateRecord } from '../kafka/state-records.ts'
import type { EmbeddedSource } from './embedded-source.ts'

/** A transaction's part. The time of an open one is limited. */
const PART_BYTES = 4 * 1024 * 1024
/** The name under which the quota log keeps the counts that came along. */
const WRITER = 'moved'

/**
 * The small state, in parts: marks, holes, gaps, fingerprints, quota log. Written again it is the same, so that a part may come twice.
 */
export function* movedState(source: EmbeddedSource): Generator<readonly StateRecord[]> {
  let part: StateRecord[] = []
  let bytes = 0
  for (const record of stateRecords(source)) {
    part.push(record)
    bytes += record.key.length + (record.value?.length ?? 0)
    if (bytes < PART_BYTES) continue
    yield part
    part = []
    bytes = 0
  }
  yield part
}

function* stateRecords(source: EmbeddedSource): Generator<StateRecord> {
  const { services, pools } = source.snapshot
  for (const { inputId, service, settled, readAt, startTime, holes, gaps } of services) {
    yield jsonRecord({ kind: 'position', inputId, service }, { settled, readAt, startTime, holes })
    for (const gap of gaps) yield jsonRecord({ kind: 'gap', inputId, service, window: gap }, gap)
    const numbers = new Map<string, number>()
    for (const seen of source.loadService(inputId, service)?.seen ?? []) {
      const n = 1 + (numbers.get(windowText(seen.window)) ?? 0)
      numbers.set(windowText(seen.window), n)
      yield seenRecord(inputId, service, seen, n)
    }
  }
  for (const { pool, minutes } of pools) {
    for (const [minute, requests] of minutes) yield jsonRecord({ kind: 'requests', pool, minute, writer: WRITER }, requests)
  }
}
