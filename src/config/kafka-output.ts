import type { KafkaOutputConfig } from '../sinks/kafka/config.ts'
import { read, type Component, type Context } from './component.ts'
import { CONNECTION_PARTS, readKafkaConnection } from './kafka-buffer.ts'
import type { Node } from './node.ts'

interface KafkaValues {
  readonly topic: string
  readonly compression: string
}

export const KAFKA: Component<KafkaValues> = {
  schema: {
    topic: { doc: 'the topic that events are written to', format: 'tap_text', default: null, check: checkTopic },
    compression: { doc: 'how events are compressed: gzip or none', format: 'tap_choice', options: ['gzip', 'none'], default: 'gzip' },
  },
  parts: [...CONNECTION_PARTS],
}

export function readKafkaOutput(node: Node | undefined, path: string, context: Context): KafkaOutputConfig {
  const section = read(KAFKA, node, path, context)
  const { values } = section
  return { ...readKafkaConnection((key) => section.part(key), path, context), topic: values.topic, compression: values.compression === 'none' ? 'none' : 'gzip' }
}

/** As Kafka has it. */
function checkTopic(topic: string): string | null {
  const isGood = /^[A-Za-z0-9._-]{1,249}$/.test(topic) && !/^\.{1,2}$/.test(topic)
  return isGood ? null : 'must be the name of a topic: at most 249 letters, digits, dots, underscores and hyphens'
}
