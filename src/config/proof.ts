import { isIP } from 'node:net'
import type { PeerConfig } from '../sinks/proof/config.ts'
import type { Component } from './component.ts'

/** The keys of every output whose connections prove the delivery, beside `address` and `port`. */
export interface ProofValues {
  readonly confirm: string
  readonly quiet_in_milliseconds: number
  readonly drain_timeout_in_seconds: number
  readonly probe_in_milliseconds: number
  readonly settle_in_seconds: number
}

export const PROOF: Component<ProofValues>['schema'] = {
  confirm: { doc: 'what proves a delivery: drain, the other side reads everything and ends the connection well; settle, no error for settle_in_seconds, for one that never ends its side, which proves less', format: 'tap_choice', options: ['drain', 'settle'], default: 'drain' },
  quiet_in_milliseconds: {
    doc: 'how many milliseconds a connection must stay open and silent after the last byte, before we end our side',
    format: 'tap_whole_number',
    min: 0,
    max: 600_000,
    default: 1000,
  },
  drain_timeout_in_seconds: {
    doc: 'how many seconds the other side may take to end its side after ours, or may take no byte',
    format: 'tap_whole_number',
    min: 1,
    max: 3600,
    default: 30,
  },
  probe_in_milliseconds: { doc: 'how many milliseconds the empty connection before the first shipment stays silent', format: 'tap_whole_number', min: 0, max: 600_000, default: 5000 },
  settle_in_seconds: { doc: 'with confirm: settle, how many seconds a connection must stay open, silent and without error', format: 'tap_whole_number', min: 1, max: 3600, default: 10 },
}

export function proofOf(values: ProofValues): Omit<PeerConfig, 'address' | 'port'> {
  return {
    confirm: values.confirm === 'settle' ? 'settle' : 'drain',
    quietMs: values.quiet_in_milliseconds,
    drainTimeoutMs: values.drain_timeout_in_seconds * 1000,
    probeMs: values.probe_in_milliseconds,
    settleMs: values.settle_in_seconds * 1000,
  }
}

/** What is wrong with the host of an endpoint, or null. */
export function checkAddress(address: string): string | null {
  if (isIP(address) !== 0 || /^[0-9A-Za-z]([0-9A-Za-z_.-]*[0-9A-Za-z.])?$/.test(address)) return null
  return 'must be a host name or an IP address, without scheme, path and port'
}
