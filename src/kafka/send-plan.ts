import { RECORD_OVERHEAD_BYTES, type BatchRecord } from './record-batch.ts'

export interface PartitionRecords {
  readonly topic: string
  readonly partition: number
  readonly records: readonly BatchRecord[]
}

/** A batch is refused above a topic's max.message.bytes, which is 1 MiB unless set. */
const BATCH_BYTES = 900 * 1024
/** All partitions together: the broker takes 100 MiB at once, and what is sent is in memory three times. */
const SEND_BYTES = 8 * 1024 * 1024

/** Each partition once, in the order in which it comes first; those without records not at all. */
export function partitionsOf(batches: readonly PartitionRecords[]): readonly PartitionRecords[] {
  const merged = new Map<string, PartitionRecords>()
  for (const batch of batches) {
    if (batch.records.length === 0) continue
    const key = `${batch.topic}/${batch.partition}`
    const known = merged.get(key)
    merged.set(key, known === undefined ? batch : { ...known, records: [...known.records, ...batch.records] })
  }
  return [...merged.values()]
}

/**
 * What is sent one after the other: each partition at most once in a send, and with no more bytes than a batch may have. A record that is
 * larger by itself goes alone, for its topic may allow it.
 */
export function* sendsOf(partitions: readonly PartitionRecords[]): Generator<readonly PartitionRecords[]> {
  let waiting = partitions.map((partition) => ({ partition, next: 0 }))
  while (waiting.length > 0) {
    const send: PartitionRecords[] = []
    let sendBytes = 0
    for (const entry of waiting) {
      const { records } = entry.partition
      if (sendBytes >= SEND_BYTES) break
      const { end, bytes } = batchEnd(records, entry.next)
      send.push({ ...entry.partition, records: records.slice(entry.next, end) })
      entry.next = end
      sendBytes += bytes
    }
    yield send
    waiting = waiting.filter(({ partition, next }) => next < partition.records.length)
  }
}

function batchEnd(records: readonly BatchRecord[], from: number): { end: number; bytes: number } {
  let bytes = 0
  let end = from
  for (let record = records[end]; record !== undefined; record = records[end]) {
    const size = record.key.length + (record.value?.length ?? 0) + RECORD_OVERHEAD_BYTES
    if (end > from && bytes + size > BATCH_BYTES) break
    bytes += size
    end += 1
  }
  return { end, bytes }
}
