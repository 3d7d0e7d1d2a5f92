import { createRequire } from 'node:module'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c } from '../../src/kafka/crc32c.ts'
import { encodeBatch, type BatchRecord } from '../../src/kafka/record-batch.ts'
import { decodeRecords } from '../../src/kafka/record-decoder.ts'
import { partitionsOf, sendsOf } from '../../src/kafka/send-plan.ts'

const require = createRequire(import.meta.url)
// kafkajs's own of these files in 2.2.4, as the other implementation.
const theirChecksum = require('kafkajs/src/protocol/recordBatch/crc32C') as (encoded: Buffer) => number
const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0') as { RecordBatch: (batch: object) => Promise<{ buffer: Buffer }> }
const Record = require('kafkajs/src/protocol/recordBatch/record/v0') as (record: object) => unknown

const NOW = 1_700_000_000_000
const sequence = { producerId: 4_294_967_299n, producerEpoch: 7, firstSequence: 123_456 }
const bytes = fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array))
const records: fc.Arbitrary<BatchRecord[]> = fc.array(
  fc.record({ key: bytes, value: fc.option(bytes) }).chain((record) =>
    fc.option(fc.integer({ min: 0, max: NOW * 2 })).map((timestamp) => ({ ...record, ...(timestamp !== null && { timestamp }) })),
  ),
  { minLength: 1, maxLength: 300 },
)

test('the checksum is that of the standard', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa)
  expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43)
})

test('the checksum is kafkajs\'s for any bytes', () => {
  fc.assert(
    fc.property(bytes, fc.nat(10), (buffer, from) => {
      expect(crc32c(buffer, from)).toBe(theirChecksum(buffer.subarray(from)) >>> 0)
    }),
  )
})

test('a batch is kafkajs\'s, byte for byte', async () => {
  await fc.assert(
    fc.asyncProperty(records, async (list) => {
      const times = list.map(({ timestamp }) => timestamp ?? NOW)
      const first = Math.min(...times)
      const theirs = await RecordBatch({
        records: list.map(({ key, value, timestamp = NOW }, offsetDelta) => Record({ key, value, offsetDelta, timestampDelta: timestamp - first })),
        firstTimestamp: first,
        maxTimestamp: Math.max(...times),
        lastOffsetDelta: list.length - 1,
        transactional: true,
        partitionLeaderEpoch: -1,
        ...sequence,
        producerId: String(sequence.producerId),
      })
      expect((await encodeBatch(list, sequence, 'none', NOW)).equals(theirs.buffer)).toBe(true)
    }),
  )
})

test.each(['none', 'gzip'] as const)('%s: a batch is read as it was written', async (compression) => {
  await fc.assert(
    fc.asyncProperty(records, async (list) => {
      const batch = await encodeBatch(list, sequence, compression, NOW)
      const read = await decodeRecords(batch, 0, [], { left: 1e9, compressed: 0, inflated: 0 })
      expect(read.nextOffset).toBe(list.length)
      expect(read.records.map(({ offset, key, value, timestamp }) => ({ offset, key, value, timestamp }))).toEqual(
        list.map(({ key, value, timestamp = NOW }, offset) => ({ offset, key, value, timestamp })),
      )
    }),
    { numRuns: 30 },
  )
})

test('sends hold each partition once, each record once, and no more bytes than a broker takes', () => {
  const sizes = fc.array(fc.record({ partition: fc.nat(20), sizes: fc.array(fc.integer({ min: 0, max: 1_500_000 }), { maxLength: 8 }) }), { maxLength: 30 })
  const body = Buffer.alloc(1_500_000)
  const key = Buffer.from('k')
  fc.assert(
    fc.property(sizes, (entries) => {
      const batches = entries.map(({ partition, sizes: list }) => ({
        topic: 't',
        partition,
        records: list.map((size) => ({ key, value: body.subarray(0, size) })),
      }))
      const sent = new Map<number, BatchRecord[]>()
      for (const send of sendsOf(partitionsOf(batches))) {
        expect(new Set(send.map(({ partition }) => partition)).size).toBe(send.length)
        const weights = send.map(({ records: list }) => list.reduce((sum, { value }) => sum + (value?.length ?? 0), 0))
        send.forEach(({ records: list }, index) => expect(list.length === 1 || (weights[index] ?? 0) <= 900 * 1024).toBe(true))
        expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeLessThan(10_000_000)
        for (const { partition, records: list } of send) sent.set(partition, [...(sent.get(partition) ?? []), ...list])
      }
      for (const partition of new Set(entries.map((entry) => entry.partition))) {
        const given: BatchRecord[] = batches.filter((batch) => batch.partition === partition).flatMap((batch) => batch.records)
        // The very same objects.
        expect((sent.get(partition) ?? []).map((record) => given.indexOf(record))).toEqual(given.map((_, index) => index))
      }
    }),
    { numRuns: 50 },
  )
})
