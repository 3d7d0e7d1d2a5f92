import type { Logger } from 'pino'
import type { RecordProducer } from '../../kafka/record-producer.ts'
import { RemovedLetters } from './removed-letters.ts'
import { STATE_PARTITION } from './state-log.ts'
import { tombstone } from './state-records.ts'
import type { StateView } from './state-view.ts'
import type { Topics } from './topics.ts'

/** A dead-letter topic that ends before what was removed from it was deleted and made anew: what the state says of the former one hides nothing here. */
export function isRemade({ removedLetters }: StateView, end: number): boolean {
  return removedLetters.end > end
}

/** What is removed of the topic that ends there. */
export function removedOf(view: StateView, end: number): RemovedLetters {
  return isRemade(view, end) ? new RemovedLetters() : view.removedLetters
}

/** Owed before the first letter is added to a topic that was made anew: once it is as long as the former one was, nothing tells them apart. */
export async function forgetRemoved({ removedLetters }: StateView, topics: Topics, producer: RecordProducer, log: Logger): Promise<void> {
  log.error({ code: 'KafkaTopicRemade' }, `The topic ${topics.deadLetters} had been deleted, and was made anew: the dead letters that were in it are gone. What is refused from now on is kept`)
  const records = removedLetters.ranges().map((letters) => tombstone({ kind: 'removed', letters }))
  if (records.length === 0) return
  await producer.send([{ topic: topics.state, partition: STATE_PARTITION, records: records.map(({ key, value }) => ({ key: Buffer.from(key), value })) }])
}
