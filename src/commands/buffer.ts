import { existsSync, readFileSync } from 'node:fs'
import type { Logger } from 'pino'
import { openQuotaLogBeside } from '../buffers/embedded/beside.ts'
import { databasePath } from '../buffers/embedded/database.ts'
import { openDeadLettersBeside } from '../buffers/embedded/dead-letters.ts'
import { openEmbeddedBuffer } from '../buffers/embedded/embedded.ts'
import { FolderInUseError } from '../buffers/embedded/lock.ts'
import { NOTHING_YET, readSnapshot } from '../buffers/embedded/reader.ts'
import { openEmbeddedReplay } from '../buffers/embedded/replay.ts'
import type { LostState } from '../buffers/kafka/state.ts'
import { assertNotInKafka } from '../buffers/move/guard.ts'
import { readPointer, removePointer, writePointer } from '../buffers/move/pointer.ts'
import { TopicsMissingError } from '../kafka/errors.ts'
import type { CollectorConfig, KafkaBufferConfig } from '../config/types.ts'
import type { BufferSnapshot, EventBuffer } from '../pipeline/buffer.ts'
import { systemClock, type Clock } from '../pipeline/clock.ts'
import { NO_DEAD_LETTERS, type DeadLetterStore } from '../pipeline/dead-letters.ts'
import { describeError, FatalError, isBug } from '../pipeline/errors.ts'
import type { PulledBetween, ReplayStore } from '../pipeline/replay-store.ts'
import type { QuotaLog } from '../pipeline/source.ts'

const NEVER = new AbortController().signal
const importKafka = async () => import('./kafka.ts')

export interface OpenOptions {
  readonly clock: Clock
  readonly log: Logger
  /** Only `reset` may begin anew where the state is gone. */
  readonly lostState?: LostState
  /** What only looks makes no topics, moves nothing and writes nothing. */
  readonly readOnly?: boolean
  /** Ends a move of the embedded buffer's content to Kafka, which may take long; a later call goes on with it. */
  readonly stop?: AbortSignal
  /** Called when such a move begins. */
  readonly onMove?: () => Promise<void>
}

/**
 * The buffer of the configuration, with all that the state folder's collector had in another kind of buffer before. Throws RetryableError while it
 * cannot be opened now, FatalError where only a person can help, and the reason of `stop`.
 */
export async function openBuffer(config: CollectorConfig, options: OpenOptions): Promise<EventBuffer> {
  const { buffer, stateDir } = config
  const { clock, log, lostState = 'refuse', readOnly = false, stop = NEVER, onMove = async () => undefined } = options
  switch (buffer.type) {
    case 'embedded': {
      assertNotInKafka(stateDir)
      const opened = await openEmbeddedBuffer({ dir: stateDir, retentionMs: buffer.retentionMs, maxSizeBytes: buffer.maxSizeBytes, clock, log })
      removePointer(stateDir)
      return opened
    }
    case 'kafka': {
      const kafka = kafkaOptions(buffer, options)
      const { moveToKafka, openKafkaBuffer } = await importKafka()
      if (!readOnly) await moveToKafka({ ...kafka, dir: stateDir, signal: stop, onBegin: onMove })
      const opened = await openKafkaBuffer({ ...kafka, createTopics: buffer.createTopics && !readOnly, readOnly, lostState })
      if (!readOnly) leavePointer(stateDir, buffer, log)
      return opened
    }
  }
}

/** True where the next start on Kafka carries over what the embedded buffer holds. */
export function isToBeMoved({ buffer, stateDir }: CollectorConfig): boolean {
  return buffer.type === 'kafka' && existsSync(databasePath(stateDir))
}

/** With the certificates read. */
export function kafkaOptions(buffer: KafkaBufferConfig, { clock, log }: Pick<OpenOptions, 'clock' | 'log'>) {
  const { brokers, ssl, sasl, topicPrefix: prefix, ...rest } = buffer
  return { ...rest, connection: { brokers, ssl: ssl === false ? (false as const) : readFiles(ssl), sasl }, prefix, clock, log }
}

/** Put back on the embedded buffer, the collector would begin anew in silence. */
function leavePointer(stateDir: string, { topicPrefix, brokers }: KafkaBufferConfig, log: Logger): void {
  try {
    const before = readPointer(stateDir)
    if (before !== null && before.topicPrefix !== topicPrefix)
      log.warn({ code: 'KafkaTopicPrefixChanged' }, `This collector kept its events under the topic_prefix ${before.topicPrefix} before; what is there stays there, and is not delivered from ${topicPrefix}`)
    writePointer(stateDir, { topicPrefix, brokers, movedFrom: before?.movedFrom ?? null })
  } catch (error) {
    if (isBug(error)) throw error
    log.warn({ code: 'MovePlaceNotKept', err: error }, `The state folder cannot keep where the events are, and an embedded buffer there would begin anew: ${describeError(error)}`)
  }
}

function readFiles(files: Readonly<Record<'ca' | 'cert' | 'key', string | null>>): Partial<Record<'ca' | 'cert' | 'key', Buffer>> {
  return Object.fromEntries(Object.entries(files).flatMap(([key, file]) => (file === null ? [] : [[key, readFileSync(file)]])))
}

/** A look beside a running collector, or without one; it changes nothing. Throws as `openBuffer` does. */
export async function readBuffer(config: CollectorConfig, log: Logger): Promise<BufferSnapshot> {
  const { buffer, stateDir } = config
  if (isToBeMoved(config)) {
    log.warn({ code: 'MovePending' }, `${databasePath(stateDir)} is not moved to Kafka yet, or not to the end: this is what it holds, and the next start goes on from there`)
    return readSnapshot(stateDir)
  }
  if (buffer.type === 'embedded') {
    assertNotInKafka(stateDir)
    return readSnapshot(stateDir)
  }
  try {
    const opened = await openBuffer(config, { clock: systemClock, log, readOnly: true })
    try {
      return await opened.snapshot()
    } finally {
      await opened.close()
    }
  } catch (error) {
    if (error instanceof TopicsMissingError && error.areAll && buffer.createTopics) return NOTHING_YET
    throw error
  }
}

/** The dead letters, beside a running collector or without one. The caller owes a `close`. Throws as `openBuffer` does. */
export async function openDeadLetters(config: CollectorConfig, log: Logger): Promise<DeadLetterStore> {
  const { buffer, stateDir } = config
  if (isToBeMoved(config)) throw new FatalError(`${databasePath(stateDir)} is not moved to Kafka yet: start the collector, which does so, and then look at the dead letters`, { code: 'MovePending' })
  if (buffer.type === 'embedded') {
    assertNotInKafka(stateDir)
    return openDeadLettersBeside(stateDir)
  }
  try {
    return await (await importKafka()).openKafkaDeadLetters(kafkaOptions(buffer, { clock: systemClock, log }))
  } catch (error) {
    if (error instanceof TopicsMissingError && error.areAll && buffer.createTopics) return NO_DEAD_LETTERS
    throw error
  }
}

/** The events for a replay, beside a running collector or without one; null where none has run yet. The caller owes a `close`. Throws as `openBuffer` does. */
export async function openReplay(config: CollectorConfig, log: Logger, pulled: PulledBetween): Promise<ReplayStore | null> {
  const { buffer, stateDir } = config
  if (isToBeMoved(config)) throw new FatalError(`${databasePath(stateDir)} is not moved to Kafka yet: start the collector, which does so, and then replay`, { code: 'MovePending' })
  if (buffer.type === 'kafka') return (await importKafka()).openKafkaReplay({ ...kafkaOptions(buffer, { clock: systemClock, log }), pulled })
  assertNotInKafka(stateDir)
  return openEmbeddedReplay({ dir: stateDir, maxSizeBytes: buffer.maxSizeBytes, pulled })
}

/** Where nothing ever ran there is no log yet, and nobody else who would count. */
const NO_LOG_YET: QuotaLog & { close(): Promise<void> } = { load: async () => [], count: async () => true, close: async () => undefined }

/**
 * The quota log alone, once it is certain that the buffer can be reached; it makes no topics. Beside a running collector, which may hold the
 * buffer, and where the embedded buffer is still to be moved, the requests are counted where the next start looks for them.
 */
export async function openQuotaLog(config: CollectorConfig, log: Logger): Promise<QuotaLog & { close(): Promise<void> }> {
  const { buffer, stateDir: dir } = config
  if (buffer.type === 'kafka') {
    const kafka = kafkaOptions(buffer, { clock: systemClock, log })
    const { checkFirstStart, checkMoveToKafka } = await importKafka()
    if (isToBeMoved(config)) {
      await checkMoveToKafka({ ...kafka, dir, signal: NEVER })
      return openQuotaLogBeside(dir)
    }
    try {
      return await openBuffer(config, { clock: systemClock, log, readOnly: true })
    } catch (error) {
      if (!(error instanceof TopicsMissingError && error.areAll) || !buffer.createTopics) throw error
      await checkFirstStart(kafka)
      return NO_LOG_YET
    }
  }
  const { retentionMs, maxSizeBytes } = buffer
  try {
    // In this thread, for an error that comes from the other one has lost its class.
    return await openEmbeddedBuffer({ dir, retentionMs, maxSizeBytes, clock: systemClock, log, inThread: true })
  } catch (error) {
    if (!(error instanceof FolderInUseError)) throw error
    return openQuotaLogBeside(dir)
  }
}
