import { basename } from 'node:path'
import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import type { Sink } from '../../pipeline/sink.ts'
import type { LineSettings } from '../line.ts'
import type { Connect } from '../proof/connection.ts'
import { createProvenSink } from '../proof/sink.ts'
import { connectTcp } from '../proof/tcp-connection.ts'
import { connectTls, warnOfLaxTls } from '../proof/tls-connection.ts'
import type { SyslogConfig } from './config.ts'
import { encodeFrames } from './frames.ts'

export interface SyslogSettings extends LineSettings {
  /** The output's name in the YAML, for the log. */
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
}

/**
 * Delivers to a syslog receiver (rsyslog, syslog-ng, a SIEM) over TLS or TCP, one connection a shipment. What is proven is that the receiver has
 * read everything to its end; what it then does with a message above its own limit is beyond this link.
 */
export function createSyslogSink(config: SyslogConfig, settings: SyslogSettings): Sink {
  const { name, clock } = settings
  const log = settings.log.child({ output: name })
  return createProvenSink(config, {
    clock,
    log,
    connect: connectTo(config, clock, log),
    kind: 'a syslog receiver',
    credential: config.tls?.cert == null ? 'this client' : `our client certificate ${basename(config.tls.cert)}`,
    encode: (batch) => encodeFrames(batch, settings),
  })
}

function connectTo({ address, port, tls }: SyslogConfig, clock: Clock, log: Logger): Connect {
  if (tls === null) return connectTcp({ address, port }, clock)
  const target = { address, port, ...tls }
  warnOfLaxTls(target, log)
  return connectTls(target, clock)
}
