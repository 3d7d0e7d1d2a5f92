import type { TapInputConfig } from '../sources/proofpoint-tap/config.ts'
import { asksForWindows } from '../sources/proofpoint-tap/services.ts'
import { feedName } from '../sources/proofpoint-tap/targets.ts'
import { join } from './component.ts'
import type { Report } from './report.ts'
import type { BufferConfig, KafkaBufferConfig, OutputConfig } from './types.ts'

/** What the Kafka buffer's other groups are called behind the prefix, as an output's own would be. */
const GROUPS = /^(?:inputs$|dead-letters\.|replay\.)/

/** What is right by itself and cannot be beside the rest. */
export function reportClashes(outputs: readonly OutputConfig[], inputs: readonly TapInputConfig[], buffer: BufferConfig, report: Report): void {
  reportSharedFiles(outputs, report)
  reportClashesWithFeeds(outputs, inputs, report)
  if (buffer.type === 'kafka') reportClashesWithKafka(outputs, buffer, report)
}

function reportSharedFiles(outputs: readonly OutputConfig[], report: Report): void {
  const writers = new Map<string, string>()
  for (const output of outputs) {
    if (output.type !== 'file' || output.config.path === '') continue
    const other = writers.get(output.config.path)
    if (other === undefined) writers.set(output.config.path, output.name)
    else
      report.problem(
        `${join('outputs', output.name)}.config.path`,
        `is the path of the output ${other} as well, and two that write to one file damage it; give each its own`,
      )
  }
}

function reportClashesWithFeeds(outputs: readonly OutputConfig[], inputs: readonly TapInputConfig[], report: Report): void {
  const feeds = new Set(inputs.flatMap((input) => input.services.filter((service) => !asksForWindows(service)).map((service) => feedName(input, service))))
  for (const { name } of outputs)
    if (feeds.has(name)) report.problem(join('outputs', name), 'by this name a service of the collector reads the events itself; take another one')
}

function reportClashesWithKafka(outputs: readonly OutputConfig[], { topicPrefix, brokers }: KafkaBufferConfig, report: Report): void {
  const topics = ['events', 'state', 'dead-letter'].map((topic) => `${topicPrefix}.${topic}`)
  for (const output of outputs) {
    const path = join('outputs', output.name)
    if (GROUPS.test(output.name))
      report.problem(path, 'this name is taken on a Kafka buffer, where the collector has a consumer group of that name; take another one')
    if (output.type !== 'kafka' || !topics.includes(output.config.topic)) continue
    if (output.config.brokers.some((broker) => brokers.includes(broker)))
      report.problem(`${path}.config.topic`, 'is a topic of the buffer itself, which would read what this output writes; take another one')
  }
}
