import { createRequire } from 'node:module'
import type { ISocketFactory, KafkaConfig, logCreator } from 'kafkajs'

/**
 * The parts of kafkajs that it does not export: its wire layer. kafkajs is unmaintained, so pinned exactly it never changes under us; what
 * replaces it one day replaces this folder. Types hold what is used here and no more.
 */
const require = createRequire(import.meta.url)

export interface PartitionMetadata {
  readonly partitionId: number
  readonly leader: number
}

export interface FetchRequest {
  readonly isolationLevel: number
  readonly maxWaitTime: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly topics: readonly {
    readonly topic: string
    readonly partitions: readonly { readonly partition: number; readonly fetchOffset: string; readonly maxBytes: number }[]
  }[]
}

export interface WireRecord {
  readonly offset: string
  readonly timestamp: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly isControlRecord: boolean
  /** Of the whole record batch. */
  readonly batchContext: {
    readonly firstOffset: string
    readonly lastOffsetDelta: number
    readonly producerId: string
    readonly inTransaction: boolean
  }
}

export interface FetchedPartitionData {
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: string
  readonly lastStableOffset: string
  readonly abortedTransactions: readonly { readonly producerId: string; readonly firstOffset: string }[]
  readonly messages: readonly WireRecord[]
}

export interface GroupMemberMetadata {
  readonly memberId: string
  readonly memberMetadata: Buffer
}

interface TransactionRequest {
  readonly transactionalId: string
  readonly producerId: string
  readonly producerEpoch: number
}

interface TopicOffsets<Partition> {
  readonly topic: string
  readonly partitions: readonly Partition[]
}

export interface Broker {
  readonly nodeId: number | string
  isConnected(): boolean
  initProducerId(request: { readonly transactionalId: string; readonly transactionTimeout: number }): Promise<{
    readonly producerId: string
    readonly producerEpoch: number
  }>
  addPartitionsToTxn(
    request: TransactionRequest & { readonly topics: readonly { readonly topic: string; readonly partitions: readonly number[] }[] },
  ): Promise<unknown>
  /** `transactionResult`: true commits. */
  endTxn(request: TransactionRequest & { readonly transactionResult: boolean }): Promise<unknown>
  fetch(request: FetchRequest): Promise<{ readonly responses: readonly { readonly topicName: string; readonly partitions: readonly FetchedPartitionData[] }[] }>
  listOffsets(request: {
    readonly isolationLevel: number
    readonly topics: readonly TopicOffsets<{ readonly partition: number; readonly timestamp: number | string }>[]
  }): Promise<{ readonly responses: readonly TopicOffsets<{ readonly partition: number; readonly errorCode: number; readonly offset: string }>[] }>
  joinGroup(request: {
    readonly groupId: string
    readonly sessionTimeout: number
    readonly rebalanceTimeout: number
    readonly memberId: string
    readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[]
  }): Promise<{
    readonly generationId: number
    readonly leaderId: string
    readonly memberId: string
    readonly members: readonly GroupMemberMetadata[]
  }>
  syncGroup(request: {
    readonly groupId: string
    readonly generationId: number
    readonly memberId: string
    readonly groupAssignment: readonly { readonly memberId: string; readonly memberAssignment: Buffer }[]
  }): Promise<{ readonly memberAssignment: Buffer }>
  heartbeat(request: { readonly groupId: string; readonly groupGenerationId: number; readonly memberId: string }): Promise<unknown>
  leaveGroup(request: { readonly groupId: string; readonly memberId: string }): Promise<unknown>
  offsetCommit(request: {
    readonly groupId: string
    readonly groupGenerationId: number
    readonly memberId: string
    readonly topics: readonly TopicOffsets<{ readonly partition: number; readonly offset: string; readonly metadata: string }>[]
  }): Promise<unknown>
  offsetFetch(request: { readonly groupId: string; readonly topics: readonly TopicOffsets<{ readonly partition: number }>[] }): Promise<{
    readonly responses: readonly TopicOffsets<{ readonly partition: number; readonly offset: string; readonly metadata: string | null }>[]
  }>
}

export interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  isConnected(): boolean
  addTargetTopic(topic: string): Promise<void>
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  refreshMetadata(): Promise<void>
  refreshMetadataIfNecessary(): Promise<void>
  findTopicPartitionMetadata(topic: string): readonly PartitionMetadata[]
  findBroker(options: { readonly nodeId: number | string }): Promise<Broker>
  /** `groupId`: of a group, or with TRANSACTION_COORDINATOR a transactional id. */
  findGroupCoordinator(options: { readonly groupId: string; readonly coordinatorType?: number }): Promise<Broker>
}

export interface ClusterOptions {
  readonly logger: unknown
  readonly brokers: KafkaConfig['brokers']
  readonly ssl: KafkaConfig['ssl']
  readonly sasl: KafkaConfig['sasl']
  readonly clientId: string
  readonly connectionTimeout: number
  readonly authenticationTimeout: number
  readonly requestTimeout: number
  readonly enforceRequestTimeout: boolean
  readonly metadataMaxAge: number
  readonly retry: KafkaConfig['retry']
  readonly allowAutoTopicCreation: boolean
  readonly socketFactory: ISocketFactory
  readonly isolationLevel: number
}

interface RequestQueue {
  readonly pending: readonly unknown[]
  readonly throttledUntil: number
  scheduleCheckPendingRequests(): void
}

// Each `as` below names what the file of that path exports in 2.2.4; the tests against a real broker hold them.
export const Cluster = require('kafkajs/src/cluster') as new (options: ClusterOptions) => Cluster
export const createLogger = (require('kafkajs/src/loggers') as { createLogger: (options: { level: number; logCreator: logCreator }) => unknown })
  .createLogger
export const defaultSocketFactory = require('kafkajs/src/network/socketFactory') as () => ISocketFactory
const { createErrorFromCode } = require('kafkajs/src/protocol/error') as { readonly createErrorFromCode: (code: number) => Error }
const Queue = require('kafkajs/src/network/requestQueue') as { readonly prototype: RequestQueue }

export const READ_COMMITTED = 1
export const READ_UNCOMMITTED = 0
export const TRANSACTION_COORDINATOR = 1

/** The error that a broker names by its code, as kafkajs would throw it. */
export function protocolError(code: number): Error {
  return createErrorFromCode(code)
}

/**
 * kafkajs looks every millisecond and for ever whether a request waits, on every connection: 3 % of a core while idle, and a warning of
 * Node about negative times (its issues 1556, 1704, 1751). It need look only while one waits or the broker throttles.
 */
export function stopIdleTimers(): void {
  // Called on the queue that it is replaced for, below.
  // eslint-disable-next-line @typescript-eslint/unbound-method
  const { scheduleCheckPendingRequests } = Queue.prototype
  Queue.prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) scheduleCheckPendingRequests.call(this)
  }
}
