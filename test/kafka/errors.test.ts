import { expect, test } from 'vitest'
import { explainKafkaError, FencedError, GroupLostError, isRebalance, OffsetOutOfRangeError } from '../../src/kafka/errors.ts'
import { FatalError, RetryableError } from '../../src/pipeline/errors.ts'

function protocolError(type: string): Error {
  return Object.assign(new Error(`the broker says ${type}`), { name: 'KafkaJSProtocolError', type })
}

function connectionError(message: string, fields: { broker?: string; code?: string } = {}): Error {
  return Object.assign(new Error(message), { name: 'KafkaJSConnectionError', ...fields })
}

/** As kafkajs wraps what it has retried. */
function retried(cause: Error): Error {
  return Object.assign(new Error(cause.message, { cause }), { name: 'KafkaJSNumberOfRetriesExceeded' })
}

test.each([
  ['INVALID_PRODUCER_EPOCH', FencedError],
  ['PRODUCER_FENCED', FencedError],
  ['INVALID_PRODUCER_ID_MAPPING', FencedError],
  ['INVALID_TXN_STATE', FencedError],
  ['ILLEGAL_GENERATION', GroupLostError],
  ['UNKNOWN_MEMBER_ID', GroupLostError],
  ['REBALANCE_IN_PROGRESS', GroupLostError],
  ['OFFSET_OUT_OF_RANGE', OffsetOutOfRangeError],
  ['TOPIC_AUTHORIZATION_FAILED', FatalError],
  ['TRANSACTIONAL_ID_AUTHORIZATION_FAILED', FatalError],
  ['MESSAGE_TOO_LARGE', FatalError],
  ['INVALID_REPLICATION_FACTOR', FatalError],
  ['OFFSET_METADATA_TOO_LARGE', FatalError],
  ['NOT_LEADER_FOR_PARTITION', RetryableError],
  ['NOT_ENOUGH_REPLICAS', RetryableError],
  ['COORDINATOR_NOT_AVAILABLE', RetryableError],
] as const)('%s is a %o, however deep', (type, expected) => {
  for (const error of [protocolError(type), retried(protocolError(type)), retried(retried(protocolError(type)))]) {
    const explained = explainKafkaError(error, 'writing')
    expect(explained.constructor).toBe(expected)
    expect(explained.message).toMatch(new RegExp(`^writing: the broker says ${type}`))
    expect(explained.cause).toMatchObject({ type })
  }
})

test('what has been explained stays as it is', () => {
  for (const error of [new FencedError('a'), new RetryableError('b'), new FatalError('c')]) expect(explainKafkaError(error, 'writing')).toBe(error)
})

test('an unknown error may go well later', () => {
  expect(explainKafkaError('odd', 'writing')).toStrictEqual(new RetryableError('writing: odd', { code: 'KafkaUnavailable', cause: 'odd' }))
})

test('what happened to new topics is told, and not that something did', () => {
  const each = ['one', 'two'].map((topic) => Object.assign(protocolError('POLICY_VIOLATION'), { topic }))
  const explained = explainKafkaError(retried(Object.assign(new Error('Topic creation errors'), { errors: each })), 'writing')
  expect(explained).toBeInstanceOf(FatalError)
  expect(explained.message).toBe('writing: the broker says POLICY_VIOLATION (topic one)')
})

test('what a user may not do leads to the rights', () => {
  const explain = (type: string, settings?: string): string => explainKafkaError(retried(protocolError(type)), 'writing', settings).message
  expect(explain('GROUP_AUTHORIZATION_FAILED')).toBe('writing: the broker says GROUP_AUTHORIZATION_FAILED. The user that buffer.config names to the brokers needs Read and Describe on the groups that begin with buffer.config.topic_prefix; docs/kafka.md names all rights')
  expect(explain('TRANSACTIONAL_ID_AUTHORIZATION_FAILED')).toContain('Write and Describe on the transactional ids')
  expect(explain('TOPIC_AUTHORIZATION_FAILED')).toContain('DescribeConfigs on the three topics')
  expect(explain('CLUSTER_AUTHORIZATION_FAILED')).toContain('needs a right that it lacks; docs/kafka.md')
  expect(explain('TOPIC_AUTHORIZATION_FAILED', 'outputs.mine.config')).toBe('writing: the broker says TOPIC_AUTHORIZATION_FAILED. The user that outputs.mine.config names to the brokers needs Write and Describe on this topic')
})

test('the broker is named once', () => {
  const explain = (message: string, broker: string): string => explainKafkaError(connectionError(message, { broker }), 'reading').message
  expect(explain('Connection timeout', 'kafka:9092')).toBe('reading: Connection timeout (broker kafka:9092)')
  expect(explain('connect ECONNREFUSED 10.0.0.1:9092', '10.0.0.1:9092')).toBe('reading: connect ECONNREFUSED 10.0.0.1:9092')
})

test('a broker that is not trusted, and one that hangs up, lead to the setting', () => {
  const untrusted = connectionError('unable to verify the first certificate; if the root CA is installed locally, try running Node.js with --use-system-ca', {
    broker: 'kafka:9092',
    code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  })
  expect(explainKafkaError(retried(untrusted), 'reading').message).toBe(
    'reading: unable to verify the first certificate (broker kafka:9092). Check buffer.config.ssl',
  )
  expect(explainKafkaError(connectionError('Closed connection', { broker: 'kafka:9092' }), 'reading').message).toBe(
    'reading: the broker has closed the connection (broker kafka:9092). If it goes on, check buffer.config.ssl and buffer.config.sasl',
  )
})

test('a rebalance is told from other ends of a membership', () => {
  expect(isRebalance(retried(protocolError('REBALANCE_IN_PROGRESS')))).toBe(true)
  expect(isRebalance(protocolError('ILLEGAL_GENERATION'))).toBe(false)
})
