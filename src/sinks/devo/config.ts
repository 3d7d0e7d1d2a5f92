/** `config` of an output of type `devo_platform`, checked and with its defaults. Paths are absolute. */
export interface DevoConfig {
  readonly address: string
  readonly port: number
  readonly chain: string
  readonly cert: string
  readonly key: string
  /** drain: the peer must end its side after ours. settle: for an endpoint that never ends; no error for `settleMs`. */
  readonly confirm: 'drain' | 'settle'
  readonly quietMs: number
  readonly drainTimeoutMs: number
  readonly probeMs: number
  readonly settleMs: number
  readonly verifyHostname: boolean
  readonly allowWeakCertificates: boolean
}
