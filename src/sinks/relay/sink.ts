import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import type { Batch } from '../../pipeline/event.ts'
import type { Sink } from '../../pipeline/sink.ts'
import { encodeTagged, type LineSettings } from '../line.ts'
import type { PeerConfig } from '../proof/config.ts'
import { createProvenSink } from '../proof/sink.ts'
import { connectTcp } from '../proof/tcp-connection.ts'

export interface RelaySettings extends LineSettings {
  /** The output's name in the YAML, for the log. */
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
  /** Instead of events: what makes whole lines of a batch. */
  readonly encode?: (batch: Batch) => Uint8Array
}

/**
 * Delivers to a Devo relay in the user's own network: what Devo itself would get, over plain TCP. What is proven is everything up to the relay,
 * but that its end may be a crash's: TCP cannot tell.
 */
export function createRelaySink(config: PeerConfig, settings: RelaySettings): Sink {
  const { name, clock, log, encode = (batch: Batch) => encodeTagged(batch, settings) } = settings
  return createProvenSink(config, {
    clock,
    log: log.child({ output: name }),
    connect: connectTcp(config, clock),
    kind: 'a Devo relay',
    credential: 'this client',
    encode,
  })
}
