/** A process of its own, for a restore is the first thing that one does: the state topic from its start, and how long that took. By IPC. */
import { pino } from 'pino'
import { STATE_PARTITION, StateLog } from '../../../src/buffers/kafka/state-log.ts'
import { Topics } from '../../../src/buffers/kafka/topics.ts'
import { createKafkaClient } from '../../../src/kafka/client.ts'
import { PartitionReader } from '../../../src/kafka/partition-reader.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { INPUT_ID } from '../bench.ts'

const [brokers = '', prefix = ''] = process.argv.slice(2)
const client = createKafkaClient({ brokers: brokers.split(','), ssl: false, sasl: null }, pino({ level: 'silent' }))
const topic = new Topics(prefix).state
const { signal } = new AbortController()

const startedAt = performance.now()
const reader = new PartitionReader(client, topic)
await new StateLog(reader, systemClock, signal).restore(INPUT_ID, null)
const ms = performance.now() - startedAt

const end = (await reader.offsets('latest')).get(STATE_PARTITION) ?? 0
let [next, records, bytes] = [0, 0, 0]
while (next < end) {
  const limits = { maxBytes: 8 * 1024 * 1024, maxWaitMs: 500, minBytes: 1, signal }
  for (const page of await reader.fetch(new Map([[STATE_PARTITION, next]]), limits)) {
    records += page.records.length
    for (const { key, value } of page.records) bytes += (key?.length ?? 0) + (value?.length ?? 0)
    next = page.nextOffset
  }
}
await reader.close()
process.send?.({ type: 'restored', ms, records, bytes })
