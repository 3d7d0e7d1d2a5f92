/** `config` of an output of type `kafka`, checked and with its defaults. */
export interface KafkaOutputConfig {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[]
  /** False: no TLS; otherwise the files, null where the system's authorities and no client certificate do. */
  readonly ssl: false | { readonly ca: string | null; readonly cert: string | null; readonly key: string | null }
  readonly sasl: null | {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
    readonly username: string
    readonly password: string
  }
  readonly topic: string
  readonly compression: 'gzip' | 'none'
}
