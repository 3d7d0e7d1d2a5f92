import type { Problem } from '../pipeline/errors.ts'
import type { TapInputConfig } from '../sources/proofpoint-tap/config.ts'
import type { OutputConfigs, OutputTypeName } from './output-types.ts'
import type { TransformConfig } from './transform-types.ts'

/** The whole configuration, checked and with its defaults. Times in milliseconds, paths absolute, only what is enabled. */
export interface CollectorConfig {
  /** The folder that holds `config/`; relative paths start here. */
  readonly root: string
  readonly name: string
  readonly id: string
  readonly debug: boolean
  /** The embedded buffer's folder. */
  readonly stateDir: string
  readonly http: HttpConfig
  readonly internalEvents: boolean
  readonly buffer: BufferConfig
  /** At least one, in the order of the file. */
  readonly outputs: readonly OutputConfig[]
  /** At least one, in the order of the file; each has at least one service. */
  readonly inputs: readonly TapInputConfig[]
}

export interface HttpConfig {
  readonly enabled: boolean
  readonly host: string
  /** The file names the host; else it is the default of the surroundings, which in an image is every address. */
  readonly isHostGiven: boolean
  /** 0: the system picks one. */
  readonly port: number
  readonly token: string | null
}

export type BufferConfig = EmbeddedBufferConfig | KafkaBufferConfig

export interface EmbeddedBufferConfig {
  readonly type: 'embedded'
  /** How long delivered events stay for replay. */
  readonly retentionMs: number
  readonly maxSizeBytes: number
}

export interface KafkaBufferConfig {
  readonly type: 'kafka'
  /** `host:port`, at least one. */
  readonly brokers: readonly string[]
  /** False: no TLS; otherwise the files, null where the system's authorities and no client certificate do. */
  readonly ssl: false | { readonly ca: string | null; readonly cert: string | null; readonly key: string | null }
  readonly sasl: null | {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
    readonly username: string
    readonly password: string
  }
  readonly topicPrefix: string
  readonly partitions: number
  /** Null: the broker's default. */
  readonly replicationFactor: number | null
  /** How long the events topic keeps events, delivered or not. */
  readonly retentionMs: number
  readonly compression: 'gzip' | 'none'
  readonly createTopics: boolean
}

export interface OutputCommon {
  /** The key under `outputs`. */
  readonly name: string
  /** `clicksBlocked`, or `input/clicksBlocked` with the input's name; null: every event. */
  readonly services: readonly string[] | null
  /** In the order in which they are applied. */
  readonly transforms: readonly TransformConfig[]
  readonly shipmentsInFlight: number
  readonly maxShipmentEvents: number
  readonly maxShipmentBytes: number
  readonly startFrom: 'now' | 'oldest'
}

/** Of one type, or of any. */
export type OutputConfig<K extends OutputTypeName = OutputTypeName> = {
  readonly [T in K]: OutputCommon & { readonly type: T; readonly config: OutputConfigs[T] }
}[K]

export interface LoadedConfig {
  readonly config: CollectorConfig
  /** What the collector starts in spite of; one for each. */
  readonly warnings: readonly Problem[]
}
