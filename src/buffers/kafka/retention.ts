import type { Logger } from 'pino'
import type { KafkaClient } from '../../kafka/client.ts'
import { brokerSettings, topicSettings } from '../../kafka/settings.ts'
import { describeError } from '../../pipeline/errors.ts'
import type { Topics } from './topics.ts'

interface RetentionOptions {
  readonly client: KafkaClient
  readonly topics: Topics
  /** As configured. */
  readonly retentionMs: number
  readonly log: Logger
}

const RETENTION = 'retention.ms'
const OFFSETS_RETENTION = 'offsets.retention.minutes'
const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000

/**
 * Warns where dead letters go by themselves, where events go sooner or later than the user has asked for, and where they outlive the broker's memory of how far an output is that
 * is off. What may not be asked, or is not answered, holds up nothing: it throws nothing.
 */
export async function warnOfRetention({ client, topics, retentionMs, log }: RetentionOptions): Promise<void> {
  try {
    const letters = limit((await topicSettings(client, topics.deadLetters, [RETENTION])).get(RETENTION), 1)
    if (letters !== null && letters !== Infinity) log.warn({ code: 'KafkaRetentionDiffers', topic: topics.deadLetters }, vanish(topics.deadLetters, letters))
    const kept = limit((await topicSettings(client, topics.events, [RETENTION])).get(RETENTION), 1)
    if (kept === null) return
    if (kept !== retentionMs) log.warn({ code: 'KafkaRetentionDiffers', topic: topics.events }, differs(topics.events, kept, retentionMs))
    const remembered = limit((await brokerSettings(client, [OFFSETS_RETENTION])).get(OFFSETS_RETENTION), MINUTE_MS)
    if (remembered !== null && kept > remembered) log.warn({ code: 'KafkaOffsetsTooShort', topic: topics.events }, outlive(topics.events, kept, remembered))
  } catch (error) {
    log.debug(`How long the brokers keep events and offsets is not known: ${describeError(error)}`)
  }
}

/** Milliseconds; the broker says -1 where there is no limit. Null where it says nothing. */
function limit(value: string | undefined, unitMs: number): number | null {
  if (value === undefined) return null
  return Number(value) < 0 ? Infinity : Number(value) * unitMs
}

function differs(topic: string, kept: number, wanted: number): string {
  return (
    `The topic ${topic} keeps events ${lasting(kept)}, and buffer.config.retention_in_hours says ${wanted / HOUR_MS}; the topic's own setting holds. ` +
    `Change either: kafka-configs.sh --bootstrap-server ... --alter --topic ${topic} --add-config ${RETENTION}=${wanted}`
  )
}

function vanish(topic: string, kept: number): string {
  return (
    `The topic ${topic} keeps dead letters ${lasting(kept)} and then loses them, seen or not. ` +
    `Have it keep them until they are dropped: kafka-configs.sh --bootstrap-server ... --alter --topic ${topic} --add-config ${RETENTION}=-1`
  )
}

function outlive(topic: string, kept: number, remembered: number): string {
  const wanted = kept === Infinity ? 'as long as an output may be off' : String(Math.ceil(kept / MINUTE_MS))
  return (
    `The topic ${topic} keeps events ${lasting(kept)}, and the brokers forget after ${hours(remembered)} h how far an output is that is off ` +
    `(${OFFSETS_RETENTION}=${remembered / MINUTE_MS}): off for longer, it cannot go on by itself. Raise that setting of the brokers to ${wanted}, ` +
    'or have no output off for so long'
  )
}

function lasting(ms: number): string {
  return ms === Infinity ? 'for ever' : `for ${hours(ms)} h`
}

function hours(ms: number): number {
  return Math.round((ms / HOUR_MS) * 10) / 10
}
