import { existsSync, readFileSync } from 'node:fs'
import type { Logger } from 'pino'
import { openQuotaLogBeside } from '../buffers/embedded/beside.ts'
import { databasePath } from '../buffers/embedded/database.ts'
import { openEmbeddedBuffer } from '../buffers/embedded/embedded.ts'
import { FolderInUseError } from '../buffers/embedded/lock.ts'
import { NOTHING_YET, readSnapshot } from '../buffers/embedded/reader.ts'
import { openKafkaBuffer } from '../buffers/kafka/kafka.ts'
import type { LostState } from '../buffers/kafka/state.ts'
import { TopicsMissingError } from '../kafka/errors.ts'
import type { CollectorConfig } from '../config/types.ts'
import type { BufferSnapshot, EventBuffer } from '../pipeline/buffer.ts'
import { systemClock, type Clock } from '../pipeline/clock.ts'
import { FatalError } from '../pipeline/errors.ts'
import type { QuotaLog } from '../pipeline/source.ts'

interface OpenOptions {
  readonly clock: Clock
  readonly log: Logger
  /** Only `reset` may begin anew where the state is gone. */
  readonly lostState?: LostState
  /** What only looks makes no topics and writes nothing. */
  readonly readOnly?: boolean
}

/** The buffer of the configuration. Throws RetryableError while it cannot be opened now, FatalError where only a person can help. */
export async function openBuffer({ buffer, stateDir }: CollectorConfig, options: OpenOptions): Promise<EventBuffer> {
  const { clock, log, lostState = 'refuse', readOnly = false } = options
  switch (buffer.type) {
    case 'embedded':
      return openEmbeddedBuffer({ dir: stateDir, retentionMs: buffer.retentionMs, maxSizeBytes: buffer.maxSizeBytes, clock, log })
    case 'kafka': {
      if (!readOnly) assertNothingLeftBehind(stateDir)
      const { brokers, ssl, sasl, topicPrefix, ...rest } = buffer
      return openKafkaBuffer({
        ...rest,
        connection: { brokers, ssl: ssl === false ? false : readFiles(ssl), sasl },
        prefix: topicPrefix,
        createTopics: buffer.createTopics && !readOnly,
        readOnly,
        clock,
        log,
        lostState,
      })
    }
  }
}

/** Marks and undelivered events of the embedded buffer would be forgotten in silence. */
function assertNothingLeftBehind(stateDir: string): void {
  const path = databasePath(stateDir)
  if (!existsSync(path)) return
  throw new FatalError(
    `${path} holds the marks and perhaps undelivered events of the embedded buffer, and they are not carried over to Kafka. ` +
      'Deliver what is in it (`tap-collector run --once` with the old configuration), note the settled marks that `status` shows, rename the file, ' +
      'and set each start_time_in_utc_format to its mark less look_back_in_minutes',
  )
}

function readFiles(files: Readonly<Record<'ca' | 'cert' | 'key', string | null>>): Partial<Record<'ca' | 'cert' | 'key', Buffer>> {
  return Object.fromEntries(Object.entries(files).flatMap(([key, file]) => (file === null ? [] : [[key, readFileSync(file)]])))
}

/** A look beside a running collector, or without one; it changes nothing. Throws as `openBuffer` does. */
export async function readBuffer(config: CollectorConfig, log: Logger): Promise<BufferSnapshot> {
  if (config.buffer.type === 'embedded') return readSnapshot(config.stateDir)
  try {
    const buffer = await openBuffer(config, { clock: systemClock, log, readOnly: true })
    try {
      return await buffer.snapshot()
    } finally {
      await buffer.close()
    }
  } catch (error) {
    if (error instanceof TopicsMissingError && config.buffer.createTopics) return NOTHING_YET
    throw error
  }
}

/** The quota log alone. Beside a running collector, which may hold the buffer, the requests are counted in the same place all the same. */
export async function openQuotaLog(config: CollectorConfig, log: Logger): Promise<QuotaLog & { close(): Promise<void> }> {
  const { buffer, stateDir: dir } = config
  if (buffer.type === 'kafka') return openBuffer(config, { clock: systemClock, log })
  const { retentionMs, maxSizeBytes } = buffer
  try {
    // In this thread, for an error that comes from the other one has lost its class.
    return await openEmbeddedBuffer({ dir, retentionMs, maxSizeBytes, clock: systemClock, log, inThread: true })
  } catch (error) {
    if (!(error instanceof FolderInUseError)) throw error
    return openQuotaLogBeside(dir)
  }
}
