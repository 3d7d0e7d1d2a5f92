import { describeError, FatalError, RetryableError } from '../pipeline/errors.ts'

/** Another producer with the same transactional id has taken over: whoever gets this writes nothing any more. */
export class FencedError extends RetryableError {
  override readonly name = 'FencedError'
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { ...options, code: 'KafkaFenced' })
  }
}

/** The member is no longer in its generation of the group: what it held belongs to another. */
export class GroupLostError extends RetryableError {
  override readonly name = 'GroupLostError'
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { ...options, code: 'KafkaGroupLost' })
  }
}

/** The topic's retention has removed what was asked for. */
export class OffsetOutOfRangeError extends RetryableError {
  override readonly name = 'OffsetOutOfRangeError'
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { ...options, code: 'KafkaOffsetGone' })
  }
}

/** Topics that are not there, and that the call may not make. */
export class TopicsMissingError extends FatalError {
  /** None of them is there: nothing ever ran here. */
  readonly areAll: boolean
  constructor(missing: readonly string[], areAll: boolean) {
    super(
      `these topics do not exist: ${missing.join(', ')}. ${areAll ? '' : 'Others of this topic_prefix do, so these were deleted with what they held. '}` +
        'A start makes them; with create_topics: false they must be made first, with the settings in docs/kafka.md, and a user without the right to see them is told the same',
      { code: 'KafkaTopicsMissing' },
    )
    this.areAll = areAll
  }
}

/** The broker's own end of a transaction that was open for too long is told by the same ones. */
const FENCED = new Set([
  'INVALID_PRODUCER_EPOCH',
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_ID_MAPPING',
  'INVALID_TXN_STATE',
  'TRANSACTION_COORDINATOR_FENCED',
])
const GROUP_LOST = new Set(['ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID', 'FENCED_INSTANCE_ID', 'REBALANCE_IN_PROGRESS'])
const OUT_OF_RANGE = new Set(['OFFSET_OUT_OF_RANGE'])
const TOO_LARGE = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'])
/** The second one stands for the partitions that are there, beside those that are not. */
const NO_TOPIC = new Set(['UNKNOWN_TOPIC_OR_PARTITION', 'OPERATION_NOT_ATTEMPTED'])
/** Only a person can mend these. */
const FATAL = new Set([
  'UNSUPPORTED_VERSION',
  'UNSUPPORTED_SASL_MECHANISM',
  'ILLEGAL_SASL_STATE',
  'SASL_AUTHENTICATION_FAILED',
  'INVALID_TOPIC_EXCEPTION',
  'INVALID_CONFIG',
  'POLICY_VIOLATION',
  'INVALID_TRANSACTION_TIMEOUT',
])

const BUFFER_SETTINGS = 'buffer.config'

/**
 * What an error of kafkajs means here: wait and try again, another has taken over, or a person must act. `doing`: `reading the topic x`;
 * `settings`: where in the YAML the brokers stand.
 */
export function explainKafkaError(error: unknown, doing: string, settings = BUFFER_SETTINGS): Error {
  if (error instanceof RetryableError || error instanceof FatalError) return error
  const types = errorTypes(error)
  const cause = rootOf(error)
  const message = `${doing}: ${describeRoot(cause, settings)}`
  const has = (set: ReadonlySet<string>): boolean => types.some((type) => set.has(type))
  // Without its cause, whose text is the broker's.
  if (types.includes('KafkaJSSASLAuthenticationError')) return new FatalError(`${message}. Check ${settings}.sasl`, { code: 'KafkaLoginRefused' })
  if (has(FENCED)) return new FencedError(message, { cause })
  if (has(GROUP_LOST)) return new GroupLostError(message, { cause })
  if (has(OUT_OF_RANGE)) return new OffsetOutOfRangeError(message, { cause })
  if (types.includes('INVALID_REPLICATION_FACTOR'))
    return new FatalError(`${message}. Set buffer.config.replication_factor to no more than there are brokers`, { code: 'KafkaReplicationFactor', cause })
  // Only the place of a replay is long.
  if (types.includes('OFFSET_METADATA_TOO_LARGE'))
    return new FatalError(`${message}. Name fewer outputs at once, or raise offset.metadata.max.bytes of the brokers`, { code: 'KafkaSettingRefused', cause })
  if (has(TOO_LARGE)) return new FatalError(`${message}. Raise max.message.bytes of the topic`, { code: 'KafkaRecordTooLarge', cause })
  if (types.some((type) => type.endsWith('AUTHORIZATION_FAILED')))
    return new FatalError(`${message}. ${rightsFor(types, settings)}`, { code: 'KafkaRightMissing', cause })
  if (has(FATAL)) return new FatalError(message, { code: 'KafkaSettingRefused', cause })
  if (has(NO_TOPIC)) return new RetryableError(`${message}. If it goes on, a topic was deleted, or this user lacks a right`, { code: 'KafkaTopicsMissing', cause })
  return new RetryableError(message, { code: isTlsFailure(cause) ? 'KafkaTlsFailed' : 'KafkaUnavailable', cause })
}

/** What a user of the buffer needs, by what was refused; docs/kafka.md has it in full. */
const BUFFER_RIGHTS: Readonly<Record<string, string>> = {
  TOPIC_AUTHORIZATION_FAILED: 'Read, Write, Describe and DescribeConfigs on the three topics of buffer.config.topic_prefix, and Create where a start is to make them',
  GROUP_AUTHORIZATION_FAILED: 'Read and Describe on the groups that begin with buffer.config.topic_prefix',
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 'Write and Describe on the transactional ids that begin with buffer.config.topic_prefix',
}

/** An output writes to one topic, and needs no more than that. */
function rightsFor(types: readonly string[], settings: string): string {
  if (settings !== BUFFER_SETTINGS) return `The user that ${settings} names to the brokers needs Write and Describe on this topic`
  const needed = types.map((type) => BUFFER_RIGHTS[type]).find((rights) => rights !== undefined)
  return `The user that ${settings} names to the brokers needs ${needed ?? 'a right that it lacks'}; docs/kafka.md names all rights`
}

/** What was sent at once is more than the topic takes. */
export function isTooLarge(error: unknown): boolean {
  return errorTypes(error).some((type) => TOO_LARGE.has(type))
}

/** Which kafkajs also says to a user who may not see the topic. */
export function isNoTopic(error: unknown): boolean {
  return errorTypes(error).some((type) => NO_TOPIC.has(type))
}

export function isRebalance(error: unknown): boolean {
  return errorTypes(error).includes('REBALANCE_IN_PROGRESS')
}

/** The names and protocol types of an error and of those that it wraps. */
export function errorTypes(error: unknown): string[] {
  if (!(error instanceof Error)) return []
  const { type } = error as Error & { readonly type?: unknown } // kafkajs's protocol errors have one
  return [error.name, ...(typeof type === 'string' ? [type] : []), ...partsOf(error).flatMap(errorTypes), ...errorTypes(error.cause)]
}

/** kafkajs wraps what happened in "number of retries exceeded", and what happened to each topic in one error for all, which says nothing. */
function rootOf(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  if (error.cause instanceof Error) return rootOf(error.cause)
  const [first] = partsOf(error)
  return first === undefined ? error : rootOf(first)
}

function partsOf(error: Error): readonly unknown[] {
  return 'errors' in error && Array.isArray(error.errors) ? error.errors : []
}

/** Codes of Node's TLS and of OpenSSL: the two sides have no trust or no language in common. */
const TLS_CODE = /CERT|SELF_SIGNED|UNABLE_TO|ALTNAME|ERR_SSL|ERR_TLS|EPROTO/
function isTlsFailure(root: unknown): boolean {
  return root instanceof Error && 'code' in root && typeof root.code === 'string' && TLS_CODE.test(root.code)
}

/** A hint for those who run Node themselves. */
const NODE_HINT = /; if the root CA is installed locally.*$/s

/** What a broker says about a login may hold the login; the log shows it at debug level, where secrets are taken out. */
const REFUSED_LOGIN = /(SASL \S+ authentication failed).*$/s

/** Which broker it was, and which setting to look at where kafkajs names none. */
function describeRoot(root: unknown, settings: string): string {
  const message = describeError(root).replace(NODE_HINT, '').replace(REFUSED_LOGIN, '$1')
  if (!(root instanceof Error)) return message
  // kafkajs's errors of a connection have the first, those of a new topic the second.
  const { broker, topic } = root as Error & { readonly broker?: unknown; readonly topic?: unknown }
  const known = [['broker', broker], ['topic', topic]].filter(([, name]) => typeof name === 'string' && !message.includes(name))
  const where = known.length === 0 ? '' : ` (${known.map((pair) => pair.join(' ')).join(', ')})`
  if (isTlsFailure(root)) return `${message}${where}. Check ${settings}.ssl`
  // All that a broker which wants TLS or SASL says to a client without.
  if (/^(?:Closed connection|Connection closed by the server)$/.test(message))
    return `the broker has closed the connection${where}. If it goes on, check ${settings}.ssl and ${settings}.sasl`
  return `${message}${where}`
}
