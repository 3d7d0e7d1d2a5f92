import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
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

export interface GroupMemberMetadata {
  readonly memberId: string
  readonly memberMetadata: Buffer
}

export interface JoinRequest {
  readonly groupId: string
  readonly sessionTimeout: number
  readonly rebalanceTimeout: number
  readonly memberId: string
  readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[]
}

export interface JoinResponse {
  readonly generationId: number
  readonly leaderId: string
  readonly memberId: string
  readonly members: readonly GroupMemberMetadata[]
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

/** A request in the queue of a connection: who waits for the answer, and how it is sent once its turn has come. */
interface QueuedRequest {
  readonly entry: {
    readonly apiKey: number
    readonly apiName: string
    readonly apiVersion: number
    readonly correlationId: number
    resolve(answer: { readonly payload: Buffer }): void
    reject(reason: unknown): void
  }
  readonly expectResponse: boolean
  readonly requestTimeout: number
  sendRequest(): void
}

/** A field that is not readonly is one that is replaced here. */
export interface Connection {
  readonly clientId: string
  /** None before the first connect. */
  readonly socket?: Socket
  readonly requestQueue: { push(request: QueuedRequest): void; maybeThrottle(ms: number): void; rejectAll(error: Error): void }
  connect: () => Promise<unknown>
  disconnect(): Promise<unknown>
  isConnected(): boolean
  isAuthenticated(): boolean
  /** Nothing where there is no SASL. */
  authenticate(): Promise<void>
  /** Throws. */
  failIfNotConnected(): void
  nextCorrelationId(): number
}

export interface ConnectionPool {
  /** Two, as `Channel` says. */
  readonly pool: readonly Connection[]
  /** Opens it where it is closed. */
  getConnection(channel: Channel): Promise<Connection>
}

/** One connection for everything, and one for fetches, which hold up what is behind them. */
export const REQUESTS = 0
export const FETCHES = 1
export type Channel = typeof REQUESTS | typeof FETCHES

export interface Broker {
  readonly nodeId: number | string
  readonly connectionPool: ConnectionPool
  /** By API key. Null before the first connection. */
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>> | null
  /** Of one kind of request: the function that writes one. */
  lookupRequest: (apiKey: number, versions: unknown) => (request: JoinRequest) => unknown
  /** Over the connection for everything. */
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
  listOffsets(request: {
    readonly isolationLevel: number
    readonly topics: readonly TopicOffsets<{ readonly partition: number; readonly timestamp: number | string }>[]
  }): Promise<{ readonly responses: readonly TopicOffsets<{ readonly partition: number; readonly errorCode: number; readonly offset: string }>[] }>
  joinGroup(request: JoinRequest): Promise<JoinResponse>
  syncGroup(request: {
    readonly groupId: string
    readonly generationId: number
    readonly memberId: string
    readonly groupAssignment: readonly { readonly memberId: string; readonly memberAssignment: Buffer }[]
  }): Promise<{ readonly memberAssignment: Buffer }>
  deleteRecords(request: {
    readonly topics: readonly TopicOffsets<{ readonly partition: number; readonly offset: string }>[]
  }): Promise<unknown>
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
  readonly brokerPool: {
    readonly seedBroker?: Broker
    readonly brokers: Readonly<Partial<Record<string, Broker>>>
    connectionPoolBuilder: { build(): Promise<ConnectionPool> }
  }
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
