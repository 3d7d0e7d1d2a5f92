import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import { openKafkaBuffer } from '../../src/buffers/kafka/kafka.ts'
import { deadLetters } from '../../src/commands/dead-letters.ts'
import type { Cursor, EventBuffer } from '../../src/pipeline/buffer.ts'
import { systemClock } from '../../src/pipeline/clock.ts'
import { openShares } from '../contract/buffer-units.ts'
import { openBuffer, temporaryFolder } from '../pipeline/support.ts'
import { sharedBroker } from '../support/kafka.ts'
import { printedBy } from './support.ts'

export type BufferKind = 'embedded' | 'kafka'

/** A collector with two outputs to files; its buffer stays open, as a running collector has it. */
export async function collectorBeside(kind: BufferKind) {
  const dir = await temporaryFolder()
  const config = join(dir, 'config.json')
  const file = (name: string) => ({ type: 'file', config: { path: join(dir, `${name}.ndjson`) } })
  const kafka = kind === 'kafka' ? { brokers: await sharedBroker(), topic_prefix: `t${randomUUID()}`, partitions: 1 } : null
  const content = {
    globals: { id: '1', name: 'test', persistence: { type: 'filesystem', config: { directory_name: dir } } },
    outputs: { one: file('one'), two: file('two') },
    inputs: { tap: { type: 'proofpoint_tap', id: '12345', credentials: { username: 'u', password: 'p' }, services: { clicksBlocked: {} } } },
    ...(kafka !== null && { buffer: { type: 'kafka', config: kafka } }),
  }
  await writeFile(config, JSON.stringify(content))
  const buffer = kafka === null ? await openBuffer(dir) : await openOnKafka(kafka.brokers, kafka.topic_prefix)
  const shares = await openShares(buffer, [{ name: 'one', startFrom: 'now' }, { name: 'two', startFrom: 'now' }])
  await buffer.ownInputs(new AbortController().signal)
  return {
    dir,
    config,
    buffer,
    prefix: kafka?.topic_prefix ?? '',
    start: (output: string): Cursor => shares.get(output)?.cursor ?? '',
    printed: (action: 'list' | 'retry' | 'drop', output: readonly string[] = [], json = false) =>
      printedBy(() => deadLetters({ config, action, output, ...(json && { json }) })),
    /** Of one, two and the source. */
    counts: async (): Promise<number[]> => {
      const { outputs, sourceDeadLetters } = await buffer.snapshot()
      return [...outputs.map((output) => output.deadLetters), sourceDeadLetters]
    },
    sentTo: (name: string) => readFile(join(dir, `${name}.ndjson`), 'utf8').catch(() => ''),
  }
}

async function openOnKafka(brokers: readonly string[], prefix: string): Promise<EventBuffer> {
  const buffer = await openKafkaBuffer({
    connection: { brokers, ssl: false, sasl: null }, prefix, partitions: 1, replicationFactor: null, retentionMs: 3_600_000,
    compression: 'none', createTopics: true, clock: systemClock, log: pino({ level: 'silent' }),
  })
  onTestFinished(() => buffer.close())
  return buffer
}
