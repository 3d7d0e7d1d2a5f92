import type { PeerConfig, TlsConfig } from '../proof/config.ts'

/** `config` of an output of type `devo_platform`, checked and with its defaults. */
export interface DevoConfig extends PeerConfig, TlsConfig {
  readonly chain: string
  readonly cert: string
  readonly key: string
}
