import { promisify } from 'node:util'
import { gunzip, zstdDecompress, type ZlibOptions, type ZstdOptions } from 'node:zlib'
import { FatalError, RetryableError } from '../pipeline/errors.ts'
import { crc32c } from './crc32c.ts'

export interface FetchedHeader {
  readonly key: string
  readonly value: Buffer | null
}

export interface FetchedRecord {
  readonly offset: number
  /** Epoch milliseconds. */
  readonly timestamp: number
  /** Views of the answer (or of a batch that was compressed): who keeps one keeps the whole. */
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly FetchedHeader[]
}

export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
}

export interface DecodedRecords {
  readonly records: readonly FetchedRecord[]
  /** Behind the last batch that was taken, whether or not a record of it is left. */
  readonly nextOffset: number
}

/** How many bytes of records one answer may become; the broker counts them compressed. Its partitions share it, in their order. */
export interface ByteBudget {
  left: number
  /** What was taken: as it came, and as it is. */
  compressed: number
  inflated: number
}

/** Bytes of a batch before its records, and those before its length counts. */
const BATCH_HEADER_BYTES = 61
const LENGTH_END = 12
const CRC_AT = 17
const CHECKED_FROM = 21
const LEADER_EPOCH_BYTES = 4
const MAGIC = 2

const COMPRESSION = 0x07
const LOG_APPEND_TIME = 0x08
const TRANSACTIONAL = 0x10
const CONTROL = 0x20

const NONE = 0
const GZIP = 1
const ZSTD = 4
const GUESSED_RATIO = 8
/** Of one batch, once it is no longer compressed. A collector's own have some megabytes; a few kilobytes can become anything. */
const MAX_BATCH_BYTES = 64 * 1024 * 1024
/** Numbers have 64 bits at most. */
const MAX_VARINT_FACTOR = 2 ** 63

const NO_HEADERS: readonly FetchedHeader[] = []
const decompressGzip = promisify<Buffer, ZlibOptions, Buffer>(gunzip)
const decompressZstd = promisify<Buffer, ZstdOptions, Buffer>(zstdDecompress)

/**
 * The committed records at or behind `position` of a fetched record set (record batches of format 2). kafkajs has a decoder too, which
 * shows no batch that compaction has emptied, so that a reader stands before it for ever, and which takes far longer for each record.
 * The checksums are looked at, as Kafka's own consumer does it and kafkajs does not: no broker looks at what its disk gives.
 * Takes from the budget before its first wait. Throws FatalError for what no retry makes readable, RetryableError for what is damaged.
 */
export async function decodeRecords(
  set: Buffer,
  position: number,
  aborted: readonly AbortedTransaction[],
  budget: ByteBudget,
): Promise<DecodedRecords> {
  const { batches, nextOffset } = committedBatches(set, position, aborted, budget)
  // Together, for zlib has threads.
  const bodies = batches.some(({ codec }) => codec !== NONE) ? await Promise.all(batches.map(decompress)) : batches.map(({ body }) => body)
  const records: FetchedRecord[] = []
  batches.forEach((batch, index) => decodeBatch(batch, bodies[index] ?? batch.body, position, records))
  return { records, nextOffset }
}

interface RecordBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly baseTimestamp: number
  /** Of all records of a topic with the broker's times; null where each has its own. */
  readonly appendTime: number | null
  readonly codec: number
  readonly count: number
  readonly body: Buffer
}

/** A batch belongs to one transaction as a whole. The last one may be cut off where the answer was full. The first one is always taken. */
function committedBatches(
  set: Buffer,
  position: number,
  abortedTransactions: readonly AbortedTransaction[],
  budget: ByteBudget,
): { readonly batches: readonly RecordBatch[]; readonly nextOffset: number } {
  const aborted = [...abortedTransactions].sort((a, b) => a.firstOffset - b.firstOffset)
  const abortedNow = new Set<number>()
  const batches: RecordBatch[] = []
  let nextOffset = position
  let seen = 0
  for (let at = 0, end; at + BATCH_HEADER_BYTES <= set.length; at = end) {
    end = at + LENGTH_END + set.readInt32BE(at + 8)
    if (end < at + BATCH_HEADER_BYTES) throw new RetryableError(`a record batch of an impossible length, ${end - at} bytes`, { code: 'KafkaRecordsDamaged' })
    if (end > set.length) break
    seen += 1
    const magic = set.readInt8(at + LENGTH_END + LEADER_EPOCH_BYTES)
    if (magic !== MAGIC) throw new FatalError(`records of message format ${magic}; only format 2, of Kafka 0.11 and later, can be read`, { code: 'KafkaFormatUnsupported' })
    const baseOffset = readInt64(set, at)
    if (crc32c(set.subarray(at + CHECKED_FROM, end)) !== set.readUInt32BE(at + CRC_AT)) throw damaged(baseOffset, 'its checksum is another one')
    const attributes = set.readInt16BE(at + 21)
    const lastOffset = baseOffset + set.readInt32BE(at + 23)
    // The broker gives the first offset, which no checksum is over.
    if (lastOffset < baseOffset || !Number.isSafeInteger(lastOffset + 1)) throw damaged(baseOffset, `its last offset would be ${lastOffset}`)
    const producerId = readInt64(set, at + 43)
    const count = set.readInt32BE(at + 57)
    for (let first = aborted[0]; first !== undefined && first.firstOffset <= lastOffset; first = aborted[0]) {
      abortedNow.add(first.producerId)
      aborted.shift()
    }
    const body = set.subarray(at + BATCH_HEADER_BYTES, end)
    const isControl = (attributes & CONTROL) !== 0
    if (isControl && count > 0 && isAbortMarker(body)) abortedNow.delete(producerId)
    const isAborted = (attributes & TRANSACTIONAL) !== 0 && abortedNow.has(producerId)
    // Compaction keeps the header of a batch whose records are all gone.
    if (!isControl && !isAborted && count > 0 && lastOffset >= position) {
      const codec = attributes & COMPRESSION
      const size = inflatedSize(codec, body)
      if (budget.inflated > 0 && size > budget.left) break
      budget.left -= size
      budget.compressed += body.length
      budget.inflated += size
      const appendTime = (attributes & LOG_APPEND_TIME) !== 0 ? readInt64(set, at + 35) : null
      batches.push({ baseOffset, lastOffset, baseTimestamp: readInt64(set, at + 27), appendTime, codec, count, body })
    }
    nextOffset = Math.max(nextOffset, lastOffset + 1)
  }
  // The broker sends the first batch whole whatever its size: reading on would go round in a circle here.
  if (seen === 0 && set.length > 0) throw new RetryableError(`${set.length} bytes were fetched that hold no whole record batch`, { code: 'KafkaRecordsDamaged' })
  return { batches, nextOffset }
}

/** Gzip ends with the size of what was compressed; of zstd it is a guess. */
function inflatedSize(codec: number, body: Buffer): number {
  if (codec === GZIP && body.length >= 4) return body.readUInt32LE(body.length - 4)
  return codec === NONE ? body.length : body.length * GUESSED_RATIO
}

async function decompress({ baseOffset, codec, body }: RecordBatch): Promise<Buffer> {
  switch (codec) {
    case NONE:
      return body
    case GZIP: {
      const size = inflatedSize(codec, body)
      if (size > MAX_BATCH_BYTES) throw damaged(baseOffset, `it says that it inflates to ${size} bytes`)
      // One block of the size that it will have, instead of many that are copied together.
      return inflated(baseOffset, decompressGzip(body, { chunkSize: Math.max(size + 64, 1024), maxOutputLength: Math.max(size, 1) }))
    }
    case ZSTD:
      return inflated(baseOffset, decompressZstd(body, { maxOutputLength: MAX_BATCH_BYTES }))
    default:
      throw new FatalError(
        `records compressed with ${codec === 2 ? 'snappy' : codec === 3 ? 'lz4' : `codec ${codec}`}, which this program cannot read; ` +
          "set the topic's compression.type to producer, gzip, zstd or uncompressed",
        { code: 'KafkaFormatUnsupported' },
      )
  }
}

async function inflated(baseOffset: number, inflating: Promise<Buffer>): Promise<Buffer> {
  try {
    return await inflating
  } catch (error) {
    throw damaged(baseOffset, 'it cannot be decompressed', error)
  }
}

function damaged(offset: number, what: string, cause?: unknown): RetryableError {
  return new RetryableError(`the record batch at offset ${offset} is damaged, ${what}: check the broker's disk, and who else writes to the topic`, { code: 'KafkaRecordsDamaged', cause })
}

/** The key of a control record: its version, then 0 for abort and 1 for commit, 16 bits each. Control records are never compressed. */
function isAbortMarker(body: Buffer): boolean {
  const cursor = new RecordCursor(body, 0)
  cursor.varint()
  cursor.at += 1
  cursor.varint()
  cursor.varint()
  const key = cursor.bytes()
  return key !== null && key.length >= 4 && key.readInt16BE(2) === 0
}

function decodeBatch(batch: RecordBatch, body: Buffer, position: number, records: FetchedRecord[]): void {
  const { baseOffset, lastOffset, baseTimestamp, appendTime, count } = batch
  const cursor = new RecordCursor(body, baseOffset)
  let next = baseOffset
  for (let left = count; left > 0; left -= 1) {
    const length = cursor.varint()
    const end = cursor.at + length
    if (length < 0 || end > body.length) throw damaged(baseOffset, `a record of it has ${length} bytes where ${body.length - cursor.at} are left`)
    cursor.at += 1 // attributes, which mean nothing yet
    const timestamp = baseTimestamp + cursor.varint()
    const offset = baseOffset + cursor.varint()
    if (offset < next || offset > lastOffset) throw damaged(baseOffset, `a record of it has the offset ${offset}`)
    if (!Number.isSafeInteger(timestamp)) throw damaged(baseOffset, `the time of the record at offset ${offset} is none`)
    next = offset + 1
    // A batch that the position lies in the middle of comes whole.
    if (offset >= position) {
      const key = cursor.bytes()
      const value = cursor.bytes()
      records.push({ offset, timestamp: appendTime ?? timestamp, key, value, headers: cursor.headers() })
    }
    if (cursor.at > end) throw damaged(baseOffset, `the record at offset ${offset} is longer than it says`)
    cursor.at = end
  }
}

class RecordCursor {
  at = 0
  readonly #bytes: Buffer
  readonly #baseOffset: number

  /** `baseOffset`: of the batch, for messages. */
  constructor(bytes: Buffer, baseOffset: number) {
    this.#bytes = bytes
    this.#baseOffset = baseOffset
  }

  /** Zigzag, of any length that a safe integer needs. Behind the end there are zeros. */
  varint(): number {
    const bytes = this.#bytes
    let byte = bytes[this.at++] ?? 0
    let value = byte & 0x7f
    if (byte < 0x80) return (value >>> 1) ^ -(value & 1)
    for (let factor = 0x80; byte >= 0x80; factor *= 0x80) {
      if (factor > MAX_VARINT_FACTOR) throw damaged(this.#baseOffset, 'a number in it has no end')
      byte = bytes[this.at++] ?? 0
      value += (byte & 0x7f) * factor
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  bytes(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const start = this.at
    this.at += length
    return this.#bytes.subarray(start, this.at)
  }

  headers(): readonly FetchedHeader[] {
    const count = this.varint()
    if (count <= 0) return NO_HEADERS
    if (count > this.#bytes.length - this.at) throw damaged(this.#baseOffset, `a record of it has ${count} headers`)
    return Array.from({ length: count }, () => ({ key: this.bytes()?.toString() ?? '', value: this.bytes() }))
  }
}

/** Kafka's numbers stay far below 2^53. */
export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
}
