import type { PeerConfig, TlsConfig } from '../proof/config.ts'

/** `config` of an output of type `syslog`, checked and with its defaults. */
export interface SyslogConfig extends PeerConfig {
  /** Null: plain TCP. */
  readonly tls: TlsConfig | null
}
