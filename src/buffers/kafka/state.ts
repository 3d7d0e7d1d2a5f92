import type { PartitionReader } from '../../kafka/partition-reader.ts'
import type { RecordProducer } from '../../kafka/record-producer.ts'
import { FatalError } from '../../pipeline/errors.ts'
import { STATE_PARTITION, type StateLog } from './state-log.ts'
import { jsonRecord, LAYOUT_VERSION } from './state-records.ts'
import type { Topics } from './topics.ts'

interface StateOptions {
  readonly topics: Topics
  readonly stateLog: StateLog
  readonly eventReader: PartitionReader
  readonly producer: RecordProducer
  readonly allowLostState: boolean
  readonly readOnly: boolean
  /** Makes the topics that are missing, or says which are. */
  readonly ensureTopics: () => Promise<void>
}

/**
 * Makes sure that the state is there, or that nothing was ever here. A state topic that was deleted would make all events come again and
 * those that were hidden then be lost: that is never taken for a first start.
 */
export async function openState(options: StateOptions): Promise<void> {
  const { topics, stateLog, eventReader, producer, allowLostState, readOnly, ensureTopics } = options
  await ensureTopics()
  const { layout } = await stateLog.refresh()
  if (layout !== null && layout.version > LAYOUT_VERSION)
    throw new FatalError(`the state topic ${topics.state} was written by a newer version (layout ${layout.version}); start that version`)
  if (layout !== null) return
  const ends = await eventReader.offsets('latest')
  if (!allowLostState && [...ends.values()].some((offset) => offset > 0))
    throw new FatalError(
      `the topic ${topics.events} holds events, but ${topics.state} is empty: the state is lost. ` +
        'Say from when each service goes on with `tap-collector reset`, or use another topic_prefix',
    )
  if (readOnly) return
  const { key, value } = jsonRecord({ kind: 'layout' }, { version: LAYOUT_VERSION })
  await producer.send([{ topic: topics.state, partition: STATE_PARTITION, records: [{ key: Buffer.from(key), value }] }])
}
