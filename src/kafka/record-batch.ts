import { promisify } from 'node:util'
import { gzip, type ZlibOptions } from 'node:zlib'
import { crc32c } from './crc32c.ts'
import { sizeOfVarint, writeVarint } from './varint.ts'

export interface BatchRecord {
  readonly key: Buffer
  /** Null: a tombstone. */
  readonly value: Buffer | null
  /** Epoch milliseconds; the time of the batch by default. */
  readonly timestamp?: number
}

/** Who writes it, within which transaction. */
export interface BatchSequence {
  readonly producerId: bigint
  readonly producerEpoch: number
  /** Of the batch's first record in its partition. */
  readonly firstSequence: number
}

export type Compression = 'gzip' | 'none'

const HEADER_BYTES = 61
/** What the checksum is over begins here. */
const ATTRIBUTES_AT = 21
const LENGTH_AT = 8
const CRC_AT = 17
const MAGIC = 2
const GZIP = 1
const TRANSACTIONAL = 0x10
const NO_TIME = 0
const NOBODY: BatchSequence = { producerId: -1n, producerEpoch: -1, firstSequence: -1 }
/** For events half the CPU of the default level, 6, and a tenth more bytes. */
const GZIP_LEVEL = 2
const compressGzip = promisify<Buffer, ZlibOptions, Buffer>(gzip)

/**
 * The records as one record batch of format 2: within a transaction, or by nobody in particular where `sequence` is null. kafkajs's encoder makes an object and a buffer of 512 bytes or more for each
 * record and copies it five times. `now`: epoch milliseconds.
 */
export async function encodeBatch(
  records: readonly BatchRecord[],
  sequence: BatchSequence | null,
  compression: Compression,
  now: number,
): Promise<Buffer> {
  const { producerId, producerEpoch, firstSequence } = sequence ?? NOBODY
  const { first, last } = timesOf(records, now)
  const plain = encodeRecords(records, first, now)
  const batch = compression === 'gzip' ? await compressed(plain) : plain
  batch.writeBigInt64BE(0n, 0) // the broker gives the offsets
  batch.writeInt32BE(batch.length - LENGTH_AT - 4, LENGTH_AT)
  batch.writeInt32BE(-1, 12) // the leader's epoch is the broker's too
  batch.writeInt8(MAGIC, 16)
  let at = batch.writeInt16BE((compression === 'gzip' ? GZIP : 0) | (sequence === null ? 0 : TRANSACTIONAL), ATTRIBUTES_AT)
  at = batch.writeInt32BE(records.length - 1, at)
  at = batch.writeBigInt64BE(BigInt(first), at)
  at = batch.writeBigInt64BE(BigInt(last), at)
  at = batch.writeBigInt64BE(producerId, at)
  at = batch.writeInt16BE(producerEpoch, at)
  at = batch.writeInt32BE(firstSequence, at)
  batch.writeInt32BE(records.length, at)
  batch.writeUInt32BE(crc32c(batch, ATTRIBUTES_AT), CRC_AT)
  return batch
}

/** A bound of a record's bytes beside its key and value: lengths, attributes, offset, time and count of headers. */
export const RECORD_OVERHEAD_BYTES = 36

async function compressed(plain: Buffer): Promise<Buffer> {
  const body = await compressGzip(plain.subarray(HEADER_BYTES), { level: GZIP_LEVEL })
  releaseBatch(plain)
  const batch = Buffer.allocUnsafeSlow(HEADER_BYTES + body.length)
  body.copy(batch, HEADER_BYTES)
  return batch
}

/** Gives the memory of what `encodeBatch` made back now, and not when the collector sees it: megabytes a second. It is empty afterwards. */
export function releaseBatch({ buffer }: Buffer): void {
  // Always so: it was made by allocUnsafeSlow.
  if (buffer instanceof ArrayBuffer) buffer.transfer(0)
}

/** With room for the header, and alone in its memory. */
function encodeRecords(records: readonly BatchRecord[], first: number, now: number): Buffer {
  let bound = HEADER_BYTES
  for (const { key, value } of records) bound += key.length + (value?.length ?? 0) + RECORD_OVERHEAD_BYTES
  const batch = Buffer.allocUnsafeSlow(bound)
  let at = HEADER_BYTES
  for (let index = 0; index < records.length; index += 1) {
    const record = records[index]
    if (record === undefined) break
    const { key, value, timestamp = now } = record
    const delta = timestamp - first
    const length =
      2 + // attributes and count of headers
      sizeOfVarint(delta) +
      sizeOfVarint(index) +
      sizeOfVarint(key.length) +
      key.length +
      (value === null ? 1 : sizeOfVarint(value.length) + value.length)
    at = writeVarint(batch, length, at)
    batch[at] = 0
    at = writeVarint(batch, delta, at + 1)
    at = writeVarint(batch, index, at)
    at = writeVarint(batch, key.length, at)
    batch.set(key, at)
    at += key.length
    if (value === null) {
      batch[at] = 1 // a length of -1
      at += 1
    } else {
      at = writeVarint(batch, value.length, at)
      batch.set(value, at)
      at += value.length
    }
    batch[at] = 0
    at += 1
  }
  return batch.subarray(0, at)
}

function timesOf(records: readonly BatchRecord[], now: number): { first: number; last: number } {
  let first = Number.POSITIVE_INFINITY
  let last = NO_TIME
  for (const { timestamp = now } of records) {
    if (timestamp < first) first = timestamp
    if (timestamp > last) last = timestamp
  }
  return { first, last }
}
