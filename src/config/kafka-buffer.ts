import { HOUR_MS } from '../pipeline/time.ts'
import { join, read, readScalar, type Component, type Context } from './component.ts'
import { masked } from './masked.ts'
import { isLeftOut, show, type Node } from './node.ts'
import { readTlsFiles } from './tls-files.ts'
import type { KafkaBufferConfig } from './types.ts'

/** Kafka's limit for a topic's name is 249; the prefix leaves room for what stands behind it. */
const PREFIX = /^[A-Za-z0-9._-]{1,200}$/
/** kafkajs takes an address apart at its first colon, so that an IPv6 address needs a name. */
const BROKER = /^[0-9A-Za-z][0-9A-Za-z_.-]*:(\d{1,5})$/
const BROKER_FORM = 'must be host:port, without a scheme, the host a name or an IPv4 address'
const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}):/i

interface KafkaValues {
  readonly topic_prefix: string
  readonly partitions: number
  readonly replication_factor: number | null
  readonly retention_in_hours: number
  readonly compression: string
  readonly create_topics: boolean
}

export const KAFKA: Component<KafkaValues> = {
  schema: {
    topic_prefix: {
      doc: 'what the names of topics, groups and transactional ids begin with; after the first start it stays',
      format: 'tap_text',
      default: 'proofpoint_tap',
      pattern: PREFIX,
      expected: 'at most 200 letters, digits, dots, underscores and hyphens',
    },
    partitions: { doc: 'how many partitions a new events topic gets: at most so many collectors deliver at once', format: 'tap_whole_number', min: 1, max: 1000, default: 6 },
    replication_factor: {
      doc: 'on how many brokers each partition of a new topic lies; left out: as the brokers have it',
      format: 'tap_whole_number',
      min: 1,
      max: 100,
      default: null,
      nullable: true,
    },
    retention_in_hours: { doc: 'how many hours the events topic keeps events, delivered or not: an output that is away for longer loses them', format: 'tap_whole_number', min: 1, max: 87_600, default: 168 },
    compression: { doc: 'how events are compressed: gzip, a fifth of the size, or none', format: 'tap_choice', options: ['gzip', 'none'], default: 'gzip' },
    create_topics: { doc: 'true makes missing topics at a start; false: they must be there, with the settings of docs/kafka.md', format: 'tap_yes_or_no', default: true },
  },
  parts: ['brokers', 'ssl', 'sasl'],
}

interface SaslValues {
  readonly mechanism: string
  readonly username: string
  readonly password: string
}

export const SASL: Component<SaslValues> = {
  schema: {
    mechanism: { doc: 'the SASL mechanism of the login', format: 'tap_choice', options: ['plain', 'scram-sha-256', 'scram-sha-512'], default: null },
    username: { doc: 'the user at the brokers', format: 'tap_text', default: null },
    password: { doc: 'the password of that user', format: 'tap_text', default: null, sensitive: true },
  },
}

/** Reads `config` of the buffer and, where wanted, looks at the files of its TLS. */
export function readKafkaBuffer(node: Node | undefined, path: string, context: Context): KafkaBufferConfig {
  const section = read(KAFKA, node, path, context)
  const { values } = section
  return {
    type: 'kafka',
    ...readKafkaConnection((key) => section.part(key), path, context),
    topicPrefix: values.topic_prefix,
    partitions: values.partitions,
    replicationFactor: values.replication_factor,
    retentionMs: values.retention_in_hours * HOUR_MS,
    compression: values.compression === 'none' ? 'none' : 'gzip',
    createTopics: values.create_topics,
  }
}

/** The keys of it that stand in `path`, by `part`. */
export const CONNECTION_PARTS = ['brokers', 'ssl', 'sasl'] as const

/** How brokers are reached. */
export function readKafkaConnection(
  part: (key: (typeof CONNECTION_PARTS)[number]) => Node | undefined,
  path: string,
  context: Context,
): Pick<KafkaBufferConfig, (typeof CONNECTION_PARTS)[number]> {
  const brokers = readBrokers(part('brokers'), join(path, 'brokers'), context)
  const ssl = readSsl(part('ssl'), join(path, 'ssl'), context)
  const sasl = readSasl(part('sasl'), join(path, 'sasl'), context)
  if (sasl !== null && ssl === false && brokers.some((broker) => !LOOPBACK.test(broker)))
    context.report.warning(join(path, 'sasl'), 'without ssl the password may be read on the way to the brokers')
  return { brokers, ssl, sasl }
}

function readBrokers(node: Node | undefined, path: string, context: Context): readonly string[] {
  const { report } = context
  if (isLeftOut(node) || (node.kind === 'list' && node.items.length === 0)) {
    if (!report.isExplained(path)) report.problem(path, 'is missing: a list of brokers, such as ["kafka:9092"]')
    return []
  }
  const items = node.kind === 'list' ? node.items : [node]
  return items.flatMap((item, index) => {
    const at = node.kind === 'list' ? `${path}[${index}]` : path
    const scalar = item.kind === 'scalar' ? readScalar(item, at, context) : null
    if (scalar === null) {
      if (item.kind !== 'scalar') report.problem(at, BROKER_FORM, show(item))
      return []
    }
    const port = Number(BROKER.exec(scalar.text)?.[1])
    if (port >= 1 && port <= 65_535) return [scalar.text]
    report.problem(at, BROKER_FORM, scalar.shown)
    return []
  })
}

function readSsl(node: Node | undefined, path: string, context: Context): KafkaBufferConfig['ssl'] {
  if (isLeftOut(node)) return false
  if (node.kind === 'scalar') {
    const scalar = readScalar(node, path, context)
    if (scalar?.value === false || scalar?.text === 'false') return false
    if (scalar !== null && scalar.value !== true && scalar.text !== 'true')
      context.report.problem(path, 'must be true, false, or a mapping with ca, cert and key', scalar.shown)
    return { ca: null, cert: null, key: null }
  }
  // An empty mapping is TLS all the same: who wrote the key wants no plain connection.
  return readTlsFiles(node, path, context)
}

function readSasl(node: Node | undefined, path: string, context: Context): KafkaBufferConfig['sasl'] {
  if (isLeftOut(node)) return null
  const { values } = read(SASL, node, path, context)
  const { mechanism, username, password } = values
  if (mechanism !== 'plain' && mechanism !== 'scram-sha-256' && mechanism !== 'scram-sha-512') return null
  const credentials: NonNullable<KafkaBufferConfig['sasl']> = { mechanism, username, password }
  return masked(credentials, ['username', 'password'])
}
