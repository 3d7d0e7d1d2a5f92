/** Where an output delivers whose connections prove it, and how. */
export interface PeerConfig {
  readonly address: string
  readonly port: number
  /** drain: the peer must end its side after ours. settle: for an endpoint that never ends; no error for `settleMs`. */
  readonly confirm: 'drain' | 'settle'
  readonly quietMs: number
  readonly drainTimeoutMs: number
  readonly probeMs: number
  readonly settleMs: number
}

/** Files in PEM format, their paths absolute. */
export interface TlsConfig {
  /** The only authorities that are trusted. Null: those that Node trusts. */
  readonly chain: string | null
  /** Null, both or none: no client certificate. */
  readonly cert: string | null
  readonly key: string | null
  readonly verifyHostname: boolean
  readonly allowWeakCertificates: boolean
}
