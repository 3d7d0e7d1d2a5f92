import { afterAll, expect, test } from 'vitest'
import { PartitionReader } from '../../src/kafka/partition-reader.ts'
import { describeKafka } from '../support/kafka.ts'
import { makeTopic, readTo, useClient, values, write } from './partition-reader-support.ts'

describeKafka('a compacted topic', () => {
  const client = useClient()
  const readers: PartitionReader[] = []

  afterAll(async () => {
    await Promise.all(readers.map((reader) => reader.close()))
  })

  /** Every segment is closed by the next batch, and cleaned as soon as the cleaner comes round. */
  const CLEANED_AT_ONCE = {
    'cleanup.policy': 'compact',
    'segment.ms': '1',
    'min.cleanable.dirty.ratio': '0.001',
    'delete.retention.ms': '0',
    'min.compaction.lag.ms': '0',
  }

  test('holes and batches that compaction has emptied are passed', { timeout: 60_000 }, async () => {
    const topic = await makeTopic(client(), 1, CLEANED_AT_ONCE)
    // The cleaner keeps the last batch of each idempotent producer for its sequence number, and its header alone once its records are old.
    for (const round of [1, 2, 3])
      for (const key of ['a', 'b']) await write(client(), topic, [{ key, value: `${key}${round}` }], { idempotent: true })
    for (const value of ['plain 1', 'plain 2', 'plain 3']) await write(client(), topic, [{ key: 'plain', value }])
    const reader = new PartitionReader(client(), topic)
    readers.push(reader)

    const end = 9
    const old: unknown = expect.stringMatching(/^([ab][12]|plain 1)$/)
    const compacted = async (): Promise<string[]> => values((await readTo(reader, end)).records)
    await expect.poll(compacted, { timeout: 45_000, interval: 500 }).not.toEqual(expect.arrayContaining([old]))
    expect(await compacted()).toEqual(expect.arrayContaining(['a3', 'b3', 'plain 3']))

    // One batch an answer: some have no record at all, and each still leads on (readTo asserts it).
    const { pages } = await readTo(reader, end, { maxBytes: 1 })
    expect(pages.filter(({ records }) => records.length === 0).length).toBeGreaterThanOrEqual(4)
    for (let from = 0; from < end; from += 1) {
      const { records } = await readTo(reader, end, { from, maxBytes: 1 })
      expect(records.every(({ offset }) => offset >= from)).toBe(true)
      expect(values(records).at(-1)).toBe('plain 3')
    }
  })
})
