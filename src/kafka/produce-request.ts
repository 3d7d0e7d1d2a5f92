import { exchange, UnreadableAnswerError } from './exchange.ts'
import { protocolError, type Broker } from './internals.ts'

export interface EncodedPartition {
  readonly topic: string
  readonly partition: number
  /** One record batch. */
  readonly batch: Buffer
}

export interface ProducedPartition {
  readonly topic: string
  readonly partition: number
  /** Offset of the batch's first record. */
  readonly baseOffset: number
}

interface ProduceAnswer {
  readonly clientSideThrottleTime: number
  readonly partitions: readonly (ProducedPartition & { readonly errorCode: number })[]
}

const PRODUCE = 0
/** Kafka 2.1 and later; 4.x still has it. */
const VERSION = 7
const ALL_REPLICAS = -1
/** How long the broker may wait for its replicas, and we for its answer. */
const REPLICAS_MS = 30_000
const ANSWER_MS = 40_000

/**
 * One Produce request to the leader of its partitions, each of which comes once. Throws kafkajs's protocol error for the first partition
 * that was refused; what became of the others is for the transaction to settle. `transactionalId`: null where there is none.
 */
export async function produceTo(
  broker: Broker,
  transactionalId: string | null,
  partitions: readonly EncodedPartition[],
): Promise<readonly ProducedPartition[]> {
  const body = encode(transactionalId, partitions)
  const answer = await exchange(broker, { apiKey: PRODUCE, apiName: 'Produce', apiVersion: VERSION, body, timeoutMs: ANSWER_MS }, decode)
  const refused = answer.partitions.find(({ errorCode }) => errorCode !== 0)
  if (refused !== undefined) throw protocolError(refused.errorCode)
  const written = new Set(answer.partitions.map(({ topic, partition }) => `${topic}/${partition}`))
  const areAllWritten = answer.partitions.length === partitions.length && partitions.every(({ topic, partition }) => written.has(`${topic}/${partition}`))
  if (!areAllWritten) throw new UnreadableAnswerError('Produce')
  return answer.partitions
}

/** In pieces, of which the batches are no copies. */
function encode(transactionalId: string | null, partitions: readonly EncodedPartition[]): Buffer[] {
  const byTopic = Map.groupBy(partitions, ({ topic }) => topic)
  const parts = [transactionalId === null ? int16(-1) : string(transactionalId), int16(ALL_REPLICAS), int32(REPLICAS_MS), int32(byTopic.size)]
  for (const [topic, entries] of byTopic) {
    parts.push(string(topic), int32(entries.length))
    for (const { partition, batch } of entries) parts.push(int32(partition), int32(batch.length), batch)
  }
  return parts
}

function decode(payload: Buffer): ProduceAnswer {
  let at = 0
  const int = (bytes: 2 | 4): number => payload.readIntBE((at += bytes) - bytes, bytes)
  const int64 = (): number => Number(payload.readBigInt64BE((at += 8) - 8))
  const partitions: (ProducedPartition & { errorCode: number })[] = []
  for (let topics = int(4); topics > 0; topics -= 1) {
    const length = int(2)
    if (length < 0) throw new RangeError('a length below 0, with which the same would be read for ever')
    const topic = payload.toString('utf8', at, (at += length))
    for (let left = int(4); left > 0; left -= 1) {
      partitions.push({ topic, partition: int(4), errorCode: int(2), baseOffset: int64() })
      at += 16 // time of the append, start of the log
    }
  }
  return { clientSideThrottleTime: int(4), partitions }
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([int16(bytes.length), bytes])
}

function int16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeInt32BE(value)
  return bytes
}
