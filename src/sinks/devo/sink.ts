import { basename } from 'node:path'
import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import type { Batch } from '../../pipeline/event.ts'
import type { Sink } from '../../pipeline/sink.ts'
import { encodeTagged, type LineSettings } from '../line.ts'
import type { Connect } from '../proof/connection.ts'
import { createProvenSink } from '../proof/sink.ts'
import { connectTls, warnOfLaxTls } from '../proof/tls-connection.ts'
import type { DevoConfig } from './config.ts'

export interface DevoSettings extends LineSettings {
  /** The output's name in the YAML, for the log. */
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
  /** The seam: default TLS. */
  readonly connect?: Connect
  /** Instead of events: what makes whole lines of a batch. */
  readonly encode?: (batch: Batch) => Uint8Array
}

/**
 * Delivers to a Devo ingestion endpoint, one connection a shipment, and proves it. What is proven is everything up to the peer that holds the
 * certificate. Probing begins here at once, beside the first fetch; whoever makes a sink owes a `close()`.
 */
export function createDevoSink(config: DevoConfig, settings: DevoSettings): Sink {
  const { name, clock, connect = connectTls(config, clock), encode = (batch: Batch) => encodeTagged(batch, settings) } = settings
  const log = settings.log.child({ output: name })
  warnOfLaxTls(config, log)
  return createProvenSink(config, {
    clock,
    log,
    connect,
    kind: 'a Devo endpoint',
    credential: `our client certificate ${basename(config.cert)}`,
    encode,
  })
}
