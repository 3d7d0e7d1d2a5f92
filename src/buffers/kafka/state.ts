import type { Logger } from 'pino'
import type { PartitionReader } from '../../kafka/partition-reader.ts'
import type { RecordProducer } from '../../kafka/record-producer.ts'
import { FatalError, RetryableError } from '../../pipeline/errors.ts'
import { forgetRemoved } from './remade-letters.ts'
import { LOST_STATE_ADVICE, STATE_PARTITION, type StateLog } from './state-log.ts'
import { jsonRecord, LAYOUT_VERSION, type Departure, type Layout, type SavedMove } from './state-records.ts'
import type { Topics } from './topics.ts'

/** What is done with a state that is gone: lost, or moved away. `leave`: go on without, and leave it marked so; `accept`: from here on what is there is the state. */
export type LostState = 'refuse' | 'leave' | 'accept'

interface StateOptions {
  readonly topics: Topics
  readonly stateLog: StateLog
  readonly eventReader: PartitionReader
  readonly producer: RecordProducer
  readonly lostState: LostState
  readonly readOnly: boolean
  /** Makes the topics that are missing and gives their names, or says which are. */
  readonly ensureTopics: () => Promise<readonly string[]>
  readonly log: Logger
}

/**
 * Makes sure that the state is there, or that nothing was ever here. A state topic that was deleted would make all events come again and
 * those that were hidden then be lost: that is never taken for a first start.
 */
export async function openState(options: StateOptions): Promise<void> {
  const { topics, stateLog, eventReader, producer, lostState, readOnly, ensureTopics, log } = options
  const made = await ensureTopics()
  const known = await stateLog.refresh()
  // Whatever came after the layout may be hidden for a while, and nothing here waits for it.
  const { layout, move } = known.layout === null ? await stateLog.settled() : known
  assertMoved(move, topics)
  if (layout !== null && made.includes(topics.deadLetters)) await forgetRemoved(known, topics, producer, log)
  if (layout !== null && made.includes(topics.events))
    log.error({ code: 'KafkaTopicRemade' }, `The topic ${topics.events} had been deleted, and was made anew: what was in it and not delivered to every output is lost. What is fetched from now on is kept`)
  if (layout !== null && layout.version > LAYOUT_VERSION)
    throw new FatalError(`the state topic ${topics.state} was written by a newer version (layout ${layout.version}); start that version`, { code: 'KafkaStateNewer' })
  if (readOnly && layout?.departure !== undefined) log.warn({ code: 'MovedToEmbedded' }, `What is shown is no longer true: ${hasGone(layout.departure, topics)}`)
  if (!readOnly && lostState === 'refuse') assertHere(layout, topics)
  if (layout !== null && (layout.departure === undefined || readOnly)) return
  const ends = await eventReader.offsets('latest')
  const isLost = layout !== null || [...ends.values()].some((offset) => offset > 0)
  if (isLost && lostState === 'refuse')
    throw new FatalError(`the topic ${topics.events} holds events, but ${topics.state} is empty: ${LOST_STATE_ADVICE}`, { code: 'KafkaStateLost' })
  if (readOnly || (isLost && lostState === 'leave')) return
  const { key, value } = jsonRecord({ kind: 'layout' }, { version: LAYOUT_VERSION })
  await producer.send([{ topic: topics.state, partition: STATE_PARTITION, records: [{ key: Buffer.from(key), value }] }])
  // A move may have begun meanwhile. Either sees the other: it looks for a layout after it has said that it begins.
  assertMoved((await stateLog.settled()).move, topics)
}

/** Throws FatalError where the content was moved to an embedded buffer: what is here would be delivered from both. */
export function assertHere(layout: Layout | null, topics: Topics): void {
  if (layout?.departure === undefined) return
  throw new FatalError(
    `${hasGone(layout.departure, topics)}. Start the collector there, with that buffer; if the move did not come to its end, give its command ` +
      'again there. To begin anew here instead, say from when the services go on with `tap-collector reset`, naming every service at once',
    { code: 'MovedToEmbedded' },
  )
}

function hasGone({ to, at }: Departure, topics: Topics): string {
  return `the marks and events of ${topics.state} were moved to the embedded buffer ${to} at ${new Date(at).toISOString()}`
}

/** Half of a state is none. Throws RetryableError: whoever moves it comes to an end, or is started again. */
function assertMoved(move: SavedMove | null, topics: Topics): void {
  if (move === null || move.done) return
  throw new RetryableError(
    `the embedded buffer ${move.source} is being moved to ${topics.events}, which is not at its end. A collector that is started there goes on with it; ` +
      'where that can no longer be, use another topic_prefix',
    { code: 'MoveUnderWay' },
  )
}
