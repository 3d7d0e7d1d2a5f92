import type { TopicSpec } from '../../kafka/topics.ts'

export interface TopicOptions {
  readonly prefix: string
  readonly partitions: number
  /** Null: the broker's default. */
  readonly replicationFactor: number | null
  readonly retentionMs: number
}

/** An event of 8 MiB with its metadata still fits. */
const MAX_RECORD_BYTES = 12 * 1024 * 1024

/** Names of everything that the buffer has at the broker. */
export class Topics {
  readonly events: string
  readonly state: string
  readonly deadLetters: string
  readonly inputsGroup: string
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
    this.events = `${prefix}.events`
    this.state = `${prefix}.state`
    this.deadLetters = `${prefix}.dead-letter`
    this.inputsGroup = `${prefix}.inputs`
  }

  /** Whoever sends dead letters again. */
  get retriesGroup(): string {
    return `${this.#prefix}.dead-letters.retry`
  }

  outputGroup(output: string): string {
    return `${this.#prefix}.${output}`
  }

  /** Where a replay stands; it has no members. */
  replayGroup(id: string): string {
    return `${this.#prefix}.replay.${id}`
  }

  /** Whoever moves an embedded buffer's content here. No input's id is as short, so that it is nobody else's. */
  get moverId(): string {
    return `${this.#prefix}.move`
  }

  transactionalId(inputId: string): string {
    return `${this.#prefix}.${inputId}`
  }
}

export function topicSpecs(topics: Topics, { partitions, replicationFactor, retentionMs }: TopicOptions): TopicSpec[] {
  const largeRecords = { 'max.message.bytes': String(MAX_RECORD_BYTES) }
  return [
    {
      name: topics.events,
      partitions,
      replicationFactor,
      config: { 'cleanup.policy': 'delete', 'retention.ms': String(retentionMs), ...largeRecords },
      mustMatch: ['cleanup.policy'],
    },
    {
      name: topics.state,
      partitions: 1,
      replicationFactor,
      // Without these the active segment never compacts, and a restart reads for minutes.
      config: {
        'cleanup.policy': 'compact',
        'segment.ms': '600000',
        'segment.bytes': String(16 * 1024 * 1024),
        'min.cleanable.dirty.ratio': '0.1',
        'max.compaction.lag.ms': '3600000',
        'delete.retention.ms': '3600000',
      },
      mustMatch: ['cleanup.policy'],
      fixedPartitions: true,
    },
    {
      name: topics.deadLetters,
      partitions: 1,
      replicationFactor,
      config: { 'cleanup.policy': 'delete', 'retention.ms': '-1', ...largeRecords },
      mustMatch: ['cleanup.policy'],
    },
  ]
}
