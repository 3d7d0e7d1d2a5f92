import { RetryableError } from '../pipeline/errors.ts'
import { exchange, UnreadableAnswerError, type ExchangeRequest } from './exchange.ts'
import { FETCHES, READ_COMMITTED, type Broker } from './internals.ts'
import { readInt64, type AbortedTransaction } from './record-decoder.ts'

export interface FetchLimits {
  /** Of the whole answer of a broker; a single larger batch still comes. */
  readonly maxBytes: number
  /** How long a broker may wait for `minBytes`. Over several leaders the slowest answer counts. */
  readonly maxWaitMs: number
  readonly minBytes: number
}

export interface PartitionAnswer {
  readonly partition: number
  /** 0: none. */
  readonly errorCode: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly abortedTransactions: readonly AbortedTransaction[]
  /** Record batches; a view of the answer. */
  readonly records: Buffer
}

interface FetchAnswer {
  /** kafkajs holds the next request back for as long. */
  readonly clientSideThrottleTime: number
  readonly errorCode: number
  readonly partitions: readonly PartitionAnswer[]
}

const FETCH = 1
/** Kafka 2.3 and later; 4.x still has it. */
const VERSION = 11
/** Beside the broker's own wait. */
const ANSWER_MS = 30_000
const PARTITION_BYTES = 28
const NO_RECORDS = Buffer.alloc(0)

/**
 * One Fetch request, read_committed, outside any fetch session, over the connection for fetches. kafkajs's own throws for the first partition
 * with an error and decodes every record into objects of its own. A broker over its quota answers with no partition at all.
 */
export async function fetchFrom(
  broker: Broker,
  topic: string,
  positions: readonly (readonly [partition: number, offset: number])[],
  limits: FetchLimits,
): Promise<readonly PartitionAnswer[]> {
  const request: ExchangeRequest = {
    apiKey: FETCH,
    apiName: 'Fetch',
    apiVersion: VERSION,
    body: [encode(topic, positions, limits)],
    timeoutMs: limits.maxWaitMs + ANSWER_MS,
    channel: FETCHES,
  }
  const { errorCode, partitions } = await exchange(broker, request, decode)
  if (errorCode !== 0) throw new RetryableError(`the broker refused to be read, with error code ${errorCode}`, { code: 'KafkaUnavailable' })
  const asked = new Set(positions.map(([partition]) => partition))
  if (!partitions.every(({ partition }) => asked.delete(partition))) throw new UnreadableAnswerError('Fetch')
  return partitions
}

function encode(
  topic: string,
  positions: readonly (readonly [partition: number, offset: number])[],
  { maxBytes, maxWaitMs, minBytes }: FetchLimits,
): Buffer {
  const name = Buffer.from(topic)
  const buffer = Buffer.alloc(41 + name.length + PARTITION_BYTES * positions.length)
  let at = 0
  const int32 = (value: number): void => void (at = buffer.writeInt32BE(value, at))
  const int64 = (value: number): void => void (at = buffer.writeBigInt64BE(BigInt(value), at))
  int32(-1) // a consumer, no replica
  int32(maxWaitMs)
  int32(minBytes)
  int32(maxBytes)
  at = buffer.writeInt8(READ_COMMITTED, at)
  int32(0) // no session
  int32(-1)
  int32(1)
  at = buffer.writeInt16BE(name.length, at)
  at += name.copy(buffer, at)
  int32(positions.length)
  for (const [partition, offset] of positions) {
    int32(partition)
    int32(-1) // any leader epoch
    int64(offset)
    int64(-1) // the log start of a replica
    int32(maxBytes)
  }
  int32(0) // nothing forgotten
  at = buffer.writeInt16BE(0, at) // no rack
  return buffer
}

function lengthOf(length: number): number {
  if (length < 0) throw new RangeError('a length below 0, with which the same would be read for ever')
  return length
}

function decode(payload: Buffer): FetchAnswer {
  let at = 0
  const int16 = (): number => payload.readInt16BE((at += 2) - 2)
  const int32 = (): number => payload.readInt32BE((at += 4) - 4)
  const int64 = (): number => readInt64(payload, (at += 8) - 8)
  const clientSideThrottleTime = int32()
  const errorCode = int16()
  int32() // session
  const partitions: PartitionAnswer[] = []
  for (let topics = int32(); topics > 0; topics -= 1) {
    const nameLength = lengthOf(int16())
    at += nameLength
    for (let left = int32(); left > 0; left -= 1) {
      const [partition, error, highWatermark, lastStableOffset] = [int32(), int16(), int64(), int64()]
      int64() // log start, which is unknown where it would matter: out of range
      const abortedTransactions: AbortedTransaction[] = []
      for (let aborted = int32(); aborted > 0; aborted -= 1) abortedTransactions.push({ producerId: int64(), firstOffset: int64() })
      int32() // preferred replica, which only a rack has
      const length = int32()
      const records = length > 0 ? payload.subarray(at, at + length) : NO_RECORDS
      at += records.length
      partitions.push({ partition, errorCode: error, highWatermark, lastStableOffset, abortedTransactions, records })
    }
  }
  return { clientSideThrottleTime, errorCode, partitions }
}
