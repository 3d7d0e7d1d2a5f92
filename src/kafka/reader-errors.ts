import { errorTypes } from './errors.ts'

/** What the broker says of one partition; null: something that has no code. `type` is kafkajs's name for it, which errors.ts knows. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  readonly type: string
  constructor(code: number | null, what: string) {
    const type = code === null ? 'LEADER_NOT_AVAILABLE' : (TYPES[code] ?? `error code ${code}`)
    super(code === null ? what : `${what}: ${type}`)
    this.type = type
  }
}

const TYPES: Readonly<Record<number, string>> = {
  3: 'UNKNOWN_TOPIC_OR_PARTITION',
  5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_FOR_PARTITION',
  9: 'REPLICA_NOT_AVAILABLE',
  29: 'TOPIC_AUTHORIZATION_FAILED',
  56: 'KAFKA_STORAGE_ERROR',
  74: 'FENCED_LEADER_EPOCH',
  75: 'UNKNOWN_LEADER_EPOCH',
  78: 'OFFSET_NOT_AVAILABLE',
}
/** Told by a broker that is no longer, or not yet, the leader: who it is now is asked anew. */
const LEADER_MOVED = new Set([
  'UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE', 'NOT_LEADER_FOR_PARTITION', 'REPLICA_NOT_AVAILABLE', 'KAFKA_STORAGE_ERROR',
  'FENCED_LEADER_EPOCH', 'UNKNOWN_LEADER_EPOCH', 'OFFSET_NOT_AVAILABLE', 'KafkaJSBrokerNotFound',
])

export function isLeaderMoved(error: unknown): boolean {
  return errorTypes(error).some((type) => LEADER_MOVED.has(type))
}
