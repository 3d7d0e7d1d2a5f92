import kafkajs from 'kafkajs'
import type { Admin, KafkaConfig, Producer, ProducerConfig } from 'kafkajs'
import type { Logger } from 'pino'
import { Cluster, createLogger, defaultSocketFactory, READ_COMMITTED, stopIdleTimers } from './internals.ts'
import type { Cluster as WireCluster } from './internals.ts'
import { kafkaLogCreator } from './log.ts'

/** How the brokers are reached; certificates and keys in PEM. */
export interface KafkaConnection {
  /** `host:port` */
  readonly brokers: readonly string[]
  readonly ssl: false | { readonly ca?: string | Buffer; readonly cert?: string | Buffer; readonly key?: string | Buffer }
  readonly sasl: null | {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
    readonly username: string
    readonly password: string
  }
}

export interface KafkaClient {
  producer(config: ProducerConfig): Producer
  admin(): Admin
  /** Connections of its own; the caller connects and disconnects. */
  cluster(): WireCluster
}

const CLIENT_ID = 'tap-collector'
const CONNECTION_TIMEOUT_MS = 10_000
const METADATA_MAX_AGE_MS = 300_000
/** How long a request may take, and how often it is sent again. */
export interface Patience {
  readonly requestTimeoutMs: number
  readonly retries: number
}
const PATIENCE: Patience = { requestTimeoutMs: 30_000, retries: 6 }
/** For a person who waits: a broker that takes connections and says nothing is given up after some 10 s. */
export const LITTLE_PATIENCE: Patience = { requestTimeoutMs: 5_000, retries: 1 }
/**
 * Two transactions in a row: the broker refuses the second for some milliseconds, and kafkajs waits this long before it asks again
 * (measured: 19 ms a transaction, 103 with its default of 300). Longer outages are waited out above, where they are told.
 */
const RETRY = { initialRetryTime: 50, maxRetryTime: 2_000 }

stopIdleTimers()

/** Opens nothing by itself. */
export function createKafkaClient({ brokers, ssl, sasl }: KafkaConnection, log: Logger, patience = PATIENCE): KafkaClient {
  const logCreator = kafkaLogCreator(log)
  const common = {
    clientId: CLIENT_ID,
    brokers: [...brokers],
    ssl: ssl === false ? false : { ...withText(ssl) },
    ...(sasl !== null && { sasl: { ...sasl } as NonNullable<KafkaConfig['sasl']> }), // a union by mechanism, which is the same three
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    authenticationTimeout: CONNECTION_TIMEOUT_MS,
    requestTimeout: patience.requestTimeoutMs,
    enforceRequestTimeout: true,
    // One more for each further broker: each try asks another one.
    retry: { ...RETRY, retries: patience.retries + brokers.length - 1 },
  }
  const kafka = new kafkajs.Kafka({ ...common, logCreator, logLevel: kafkajs.logLevel.INFO })
  const logger = createLogger({ level: kafkajs.logLevel.INFO, logCreator })
  return {
    producer: (config) => kafka.producer({ allowAutoTopicCreation: false, createPartitioner: kafkajs.Partitioners.DefaultPartitioner, ...config }),
    admin: () => kafka.admin(),
    cluster: () =>
      new Cluster({
        ...common,
        sasl: common.sasl,
        logger,
        metadataMaxAge: METADATA_MAX_AGE_MS,
        allowAutoTopicCreation: false,
        socketFactory: defaultSocketFactory(),
        isolationLevel: READ_COMMITTED,
      }),
  }
}

function withText(ssl: Record<string, string | Buffer | undefined>): Record<string, string | Buffer> {
  return Object.fromEntries(Object.entries(ssl).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])))
}
