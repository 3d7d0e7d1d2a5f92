import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import type { KafkaClient } from '../../../src/kafka/client.ts'
import { PartitionReader, type FetchedRecord } from '../../../src/kafka/partition-reader.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import type { KafkaOutputConfig } from '../../../src/sinks/kafka/config.ts'
import { createKafkaSink } from '../../../src/sinks/kafka/sink.ts'
import { readTo } from '../../kafka/partition-reader-support.ts'

export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'tap-kafka-output-'))
  onTestFinished(() => rmSync(path, { recursive: true }))
  return path
}

export function configOf(brokers: readonly string[], topic: string, config: Partial<KafkaOutputConfig> = {}): KafkaOutputConfig {
  return { brokers, ssl: false, sasl: null, topic, compression: 'gzip', ...config }
}

export function sinkOf(config: KafkaOutputConfig, log = pino({ level: 'silent' })): Sink {
  const sink = createKafkaSink(config, { name: 'kafka_1', clock: systemClock, log })
  onTestFinished(() => sink.close())
  return sink
}

/** All records of a topic, by partition. */
export async function recordsIn(client: KafkaClient, topic: string): Promise<FetchedRecord[][]> {
  const reader = new PartitionReader(client, topic)
  try {
    const ends = [...(await reader.offsets('latest'))].sort(([a], [b]) => a - b)
    return await Promise.all(ends.map(async ([partition, end]) => (await readTo(reader, end, { partition })).records))
  } finally {
    await reader.close()
  }
}

export async function valuesIn(client: KafkaClient, topic: string): Promise<string[]> {
  return (await recordsIn(client, topic)).flat().map(({ value }) => value?.toString() ?? 'null')
}
