import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import type { KafkaBufferOptions } from '../../../src/buffers/kafka/kafka.ts'
import { moveToEmbedded, type MoveBackOptions } from '../../../src/buffers/move/to-embedded.ts'
import { moveToKafka } from '../../../src/buffers/move/to-kafka.ts'
import { describeKafka, sharedBroker } from '../../support/kafka.ts'
import { contentInEmbedded, fill, kafkaOptions, moveOptions, temporaryFolder, type Content } from './filled.ts'

function backOptions(dir: string, kafka: KafkaBufferOptions, changes: Partial<MoveBackOptions> = {}): MoveBackOptions {
  return { ...kafka, dir, maxSizeBytes: 2 ** 30, signal: new AbortController().signal, ...changes }
}

/** Everything but the size. */
function expectSame(now: Content, before: Content): void {
  for (const [name, events] of Object.entries(before.events)) expect([name, now.events[name]]).toEqual([name, events])
  expect(now.services).toEqual(before.services)
  const comparable = ({ services, outputs, pools, sourceDeadLetters }: Content['snapshot']) => ({ services, pools, sourceDeadLetters, outputs })
  expect(comparable(now.snapshot)).toEqual(comparable(before.snapshot))
}

/** A Kafka buffer with something of everything, and the folder that it came from. */
async function filledKafka(): Promise<{ readonly dir: string; readonly kafka: KafkaBufferOptions; readonly before: Content }> {
  const dir = await temporaryFolder()
  const kafka = kafkaOptions(await sharedBroker())
  const before = await fill(dir)
  await moveToKafka(moveOptions(dir, kafka))
  return { dir, kafka, before }
}

describeKafka('a move to the embedded buffer', () => {
  test('carries everything over, each once, into the folder that it once came from', async () => {
    const { dir, kafka, before } = await filledKafka()
    const moved = await moveToEmbedded(backOptions(dir, kafka))
    expect(moved).toMatchObject({ services: 2, outputs: 4, deadLetters: 9 })
    expect(readdirSync(dir).sort()).toEqual(['buffer.db', 'buffer.db.moved', 'buffer.lock'])
    expect(statSync(join(dir, 'buffer.db')).mode & 0o777).toBe(0o600)
    expectSame(await contentInEmbedded(dir), before)
    const windows = (name: string): unknown[] => {
      const db = new Database(join(dir, name), { readonly: true })
      try {
        return db.prepare(`SELECT pulled_at, window_from, window_to, sum(events) FROM chunks WHERE chunk > ? GROUP BY pulled_at, window_from, window_to ORDER BY 1, 2`).raw().all(0)
      } finally {
        db.close()
      }
    }
    expect(windows('buffer.db')).toEqual(windows('buffer.db.moved'))
  })
})
