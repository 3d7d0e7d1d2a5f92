import type { KafkaClient } from '../../kafka/client.ts'
import { readOffsets } from '../../kafka/group-offsets.ts'
import type { PartitionReader } from '../../kafka/partition-reader.ts'
import type { BufferSnapshot } from '../../pipeline/buffer.ts'
import type { DeadLetterTally } from './dead-letter-tally.ts'
import { provenAtOf } from './group-positions.ts'
import type { StateLog } from './state-log.ts'
import type { Topics } from './topics.ts'

interface SnapshotOptions {
  readonly client: KafkaClient
  readonly topics: Topics
  readonly stateLog: StateLog
  readonly eventReader: PartitionReader
  readonly tally: DeadLetterTally
}

/** Works beside running collectors: it joins no group and writes nothing. */
export async function takeSnapshot({ client, topics, stateLog, eventReader, tally }: SnapshotOptions): Promise<BufferSnapshot> {
  const view = await stateLog.refresh()
  const [ends, starts, deadLetters] = await Promise.all([eventReader.offsets('latest'), eventReader.offsets('earliest'), tally.amounts()])
  const outputs = await Promise.all(
    [...view.outputs].sort(([a], [b]) => (a < b ? -1 : 1)).map(async ([name, { open, missedEvents }]) => {
      const offsets = await readOffsets(client, topics.outputGroup(name), topics.events, [...ends.keys()])
      let backlogEvents = 0
      let provenAt = 0
      for (const [partition, end] of ends) {
        const committed = offsets.get(partition) ?? null
        const start = starts.get(partition) ?? 0
        backlogEvents += Math.max(0, end - Math.max(start, committed?.offset ?? start))
        provenAt = Math.max(provenAt, provenAtOf(committed?.metadata ?? ''))
      }
      return { name, open, backlogEvents, provenAt, deadLetters: deadLetters.get(name)?.letters ?? 0, missedEvents }
    }),
  )
  return {
    services: view.services(),
    outputs,
    sourceDeadLetters: deadLetters.get(null)?.letters ?? 0,
    pools: view.pools(),
    // The broker's business: it has no limit of ours, and its log directories are not ours to look into.
    sizeInBytes: 0,
    maxSizeInBytes: Number.MAX_SAFE_INTEGER,
  }
}
