import { HOUR_MS } from '../pipeline/time.ts'
import { join, read, type Component, type Context } from './component.ts'
import { readKafkaBuffer } from './kafka-buffer.ts'
import type { Node } from './node.ts'
import type { BufferConfig } from './types.ts'

const MEGABYTE = 1024 * 1024

export const BUFFER: Component<{ readonly type: string }> = {
  schema: { type: { doc: 'where events wait until they are delivered: embedded, one SQLite file in the state folder; or kafka, topics that several collectors share', format: 'tap_choice', options: ['embedded', 'kafka'], default: 'embedded' } },
  parts: ['config'],
}

interface EmbeddedValues {
  readonly retention_in_hours: number
  readonly max_size_in_mb: number
}

export const EMBEDDED: Component<EmbeddedValues> = {
  schema: {
    retention_in_hours: { doc: 'how many hours delivered events stay for replay, counted from their pull; undelivered ones stay in any case', format: 'tap_whole_number', min: 0, max: 87_600, default: 24 },
    max_size_in_mb: { doc: 'how many MB the buffer may hold; when delivered events have gone and undelivered ones fill it, fetching waits', format: 'tap_whole_number', min: 8, max: 100_000_000, default: 10_240 },
  },
}

export function readBuffer(node: Node | undefined, context: Context): BufferConfig {
  const path = 'buffer'
  const section = read(BUFFER, node, path, context)
  if (section.values.type === 'kafka') {
    return readKafkaBuffer(section.part('config'), join(path, 'config'), context)
  }
  const { values } = read(EMBEDDED, section.part('config'), join(path, 'config'), context)
  return { type: 'embedded', retentionMs: values.retention_in_hours * HOUR_MS, maxSizeBytes: values.max_size_in_mb * MEGABYTE }
}
