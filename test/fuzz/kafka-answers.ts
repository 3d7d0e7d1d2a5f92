import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { FatalError, RetryableError } from '../../src/pipeline/errors.ts'
import { crc32c } from '../../src/kafka/crc32c.ts'
import { fetchFrom } from '../../src/kafka/fetch-request.ts'
import type { Broker } from '../../src/kafka/internals.ts'
import { decodeClaim, encodeClaim } from '../../src/kafka/group-assigner.ts'
import { produceTo } from '../../src/kafka/produce-request.ts'
import { encodeBatch } from '../../src/kafka/record-batch.ts'
import { decodeRecords } from '../../src/kafka/record-decoder.ts'
import { mutate, mutations, type Mutation } from './mutate.ts'
import { assert, assertTold, target, type FuzzTarget } from './target.ts'

const HEADER_BYTES = 61
const NOW = 1_795_003_700_123
const POSITION = 1_000

interface Batches {
  readonly codecs: readonly ('none' | 'gzip' | 'zstd')[]
  readonly sizes: readonly number[]
}

const batches: fc.Arbitrary<Batches> = fc.record({
  codecs: fc.array(fc.constantFrom('none', 'gzip', 'zstd'), { minLength: 1, maxLength: 3 }),
  sizes: fc.array(fc.nat(300), { minLength: 1, maxLength: 12 }),
})

/** As a broker has them, from POSITION on. */
async function recordSet({ codecs, sizes }: Batches): Promise<Buffer> {
  const records = sizes.map((size, index) => ({ key: Buffer.from(`k${index}`), value: size % 7 === 0 ? null : Buffer.alloc(size, 'v') }))
  let offset = POSITION
  const set: Buffer[] = []
  for (const codec of codecs) {
    const batch = await encodeBatch(records, { producerId: 7n, producerEpoch: 1, firstSequence: 0 }, codec === 'gzip' ? 'gzip' : 'none', NOW)
    const whole = codec === 'zstd' ? zstdBatch(batch) : batch
    whole.writeBigInt64BE(BigInt(offset), 0)
    offset += records.length
    set.push(whole)
  }
  return Buffer.concat(set)
}

/** As if a program had written that: with the checksums that belong to it. */
function seal(set: Buffer): void {
  for (let at = 0; at + HEADER_BYTES <= set.length; ) {
    const end = at + 12 + set.readInt32BE(at + 8)
    if (end < at + HEADER_BYTES || end > set.length) return
    set.writeUInt32BE(crc32c(set.subarray(at + 21, end)), at + 17)
    at = end
  }
}

function zstdBatch(plain: Buffer): Buffer {
  const batch = Buffer.concat([plain.subarray(0, HEADER_BYTES), zstdCompressSync(plain.subarray(HEADER_BYTES))])
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt16BE(batch.readInt16BE(21) | 4, 21)
  seal(batch)
  return batch
}

/** Where a change does most: the fields of a header, or the records behind it. */
const place = fc.constantFrom('anywhere', 'header', 'records')

const recordBatches = target({
  name: 'record batches that are changed',
  runs: 1_500,
  cases: fc.record({ batches, where: place, changes: mutations(), sealed: fc.boolean() }),
  async check({ batches: plan, where, changes, sealed }: { batches: Batches; where: string; changes: readonly Mutation[]; sealed: boolean }) {
    const set = await recordSet(plan)
    const [from, to] = where === 'header' ? [0, HEADER_BYTES] : where === 'records' ? [HEADER_BYTES, set.length] : [0, set.length]
    const changed = Buffer.concat([set.subarray(0, from), mutate(set.subarray(from, to), changes), set.subarray(to)])
    if (sealed) seal(changed)
    try {
      const { records, nextOffset } = await decodeRecords(changed, POSITION, [], { left: 1_000_000, compressed: 0, inflated: 0 })
      assert(Number.isSafeInteger(nextOffset) && nextOffset >= POSITION, () => `reading would go on at ${nextOffset}`)
      for (const { offset, timestamp, key, value } of records) {
        assert(Number.isSafeInteger(offset) && offset >= POSITION && offset < nextOffset, () => `a record at ${offset}, and reading goes on at ${nextOffset}`)
        assert(Number.isSafeInteger(timestamp), () => `a record of the time ${timestamp}`)
        assert((key?.length ?? 0) + (value?.length ?? 0) < 1_000_000, () => 'a record larger than all that came')
      }
    } catch (error) {
      assertTold(error, [RetryableError, FatalError])
    }
  },
})

/** A broker that answers one request with these bytes, over what this code uses of a connection. */
function answering(payload: Buffer): Broker {
  const connection = {
    clientId: 'fuzz', connect: async () => undefined, disconnect: async () => undefined, isConnected: () => true, isAuthenticated: () => true,
    authenticate: async () => undefined, failIfNotConnected: () => undefined, nextCorrelationId: () => 1,
    requestQueue: {
      push: ({ entry }: { readonly entry: { resolve(answer: { readonly payload: Buffer }): void } }) => entry.resolve({ payload }),
      maybeThrottle: () => undefined, rejectAll: () => undefined,
    },
  }
  // Nothing else of a broker is asked for.
  return { nodeId: 1, versions: null, connectionPool: { pool: [connection], getConnection: async () => connection } } as unknown as Broker
}

class Writer {
  readonly #parts: Buffer[] = []
  int16(value: number): this {
    const bytes = Buffer.alloc(2)
    bytes.writeInt16BE(value)
    return this.bytes(bytes)
  }
  int32(value: number): this {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(value)
    return this.bytes(bytes)
  }
  int64(value: number): this {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64BE(BigInt(value))
    return this.bytes(bytes)
  }
  text(text: string): this {
    return this.int16(Buffer.byteLength(text)).bytes(Buffer.from(text))
  }
  bytes(bytes: Buffer): this {
    this.#parts.push(bytes)
    return this
  }
  all(): Buffer {
    return Buffer.concat(this.#parts)
  }
}

async function fetchAnswer(plan: Batches, partitions: number): Promise<Buffer> {
  const set = await recordSet(plan)
  const answer = new Writer().int32(0).int16(0).int32(0).int32(1).text('t.events').int32(partitions)
  for (let partition = 0; partition < partitions; partition += 1) {
    answer.int32(partition).int16(0).int64(2_000).int64(2_000).int64(0).int32(1).int64(7).int64(1_500).int32(-1).int32(set.length).bytes(set)
  }
  return answer.all()
}

const fetches = target({
  name: 'an answer to a fetch that is changed',
  runs: 800,
  cases: fc.record({ batches, partitions: fc.nat(3), changes: mutations() }),
  async check({ batches: plan, partitions, changes }: { batches: Batches; partitions: number; changes: readonly Mutation[] }) {
    const good = await fetchAnswer(plan, partitions)
    const asked = Array.from({ length: partitions }, (_, partition) => [partition, POSITION] as const)
    const fetched = (payload: Buffer) => fetchFrom(answering(payload), 't.events', asked, { maxBytes: 1_000_000, maxWaitMs: 0, minBytes: 1 })
    assert((await fetched(good)).length === partitions, () => 'a good answer was not read')
    try {
      for (const answer of await fetched(mutate(good, changes))) {
        assert(answer.partition < partitions, () => `an answer for partition ${answer.partition}, which was not asked for`)
        await decodeRecords(answer.records, POSITION, answer.abortedTransactions, { left: 1_000_000, compressed: 0, inflated: 0 })
      }
    } catch (error) {
      assertTold(error, [RetryableError, FatalError])
    }
  },
})

const produces = target({
  name: 'an answer to a produce request that is changed',
  runs: 800,
  cases: mutations(),
  async check(changes: readonly Mutation[]) {
    const asked = [0, 1].map((partition) => ({ topic: 't.events', partition, batch: Buffer.alloc(70) }))
    const answer = new Writer().int32(1).text('t.events').int32(2)
    for (const { partition } of asked) answer.int32(partition).int16(0).int64(POSITION).int64(-1).int64(0)
    const good = answer.int32(0).all()
    await produceTo(answering(good), 'id', asked)
    try {
      const produced = await produceTo(answering(mutate(good, changes)), 'id', asked)
      const answered = produced.map(({ topic, partition }) => `${topic} ${partition}`).sort()
      assert(answered.join() === 't.events 0,t.events 1', () => `written was taken for ${answered.join()}`)
    } catch (error) {
      assert(error instanceof Error && (error instanceof RetryableError || error instanceof FatalError || error.name.startsWith('KafkaJS')), () => `not an error that is known: ${String(error)}`)
    }
  },
})

const claims = target({
  name: "a group member's claim that is changed",
  runs: 1_000,
  cases: mutations({ words: ['"generation":', 'null', '[', '-1', '1e999', '{'] }),
  check(changes: readonly Mutation[]) {
    const { generation, partitions } = decodeClaim(mutate(encodeClaim({ generation: 4, partitions: [0, 1, 5] }), changes))
    assert([generation, ...partitions].every((number) => Number.isSafeInteger(number)), () => `a claim of ${generation} and ${partitions.join()}`)
  },
})

/** What brokers answer, as far as it is decoded here; the rest is kafkajs's. */
export const kafkaAnswerTargets: readonly FuzzTarget[] = [recordBatches, fetches, produces, claims]
