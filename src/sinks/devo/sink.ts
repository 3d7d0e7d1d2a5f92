import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import { releaseBytes, type Batch } from '../../pipeline/event.ts'
import type { ShipmentContext, Sink } from '../../pipeline/sink.ts'
import type { DevoConfig } from './config.ts'
import type { Connect } from './connection.ts'
import { Endpoint } from './endpoint.ts'
import { encodeLines, linePrefix } from '../line.ts'
import type { Proof } from './proof.ts'
import { ShipmentStream } from './shipment-stream.ts'
import { connectTls } from './tls-connection.ts'

export interface DevoSettings {
  /** The output's name in the YAML, for the log. */
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
  /** The HOST of every line. */
  readonly hostName: string
  /** The TAG of a service's lines. */
  readonly tagOf: (inputId: string, service: string) => string
  /** The seam: default TLS. */
  readonly connect?: Connect
}

/** More than any `shipments_in_flight` that makes sense: each is a connection of its own. */
const MAX_SHIPMENTS_IN_FLIGHT = 16

/**
 * Delivers to a Devo ingestion endpoint, one connection a shipment, and proves it (proof.ts). What is proven is everything up to the peer
 * that holds the certificate. Probing begins here at once, beside the first fetch; whoever makes a sink owes a `close()`.
 */
export function createDevoSink(config: DevoConfig, settings: DevoSettings): Sink {
  const log = settings.log.child({ output: settings.name })
  if (!config.verifyHostname) log.warn(`verify_hostname is off: any certificate that ${config.chain} signs is taken for ${config.address}`)
  if (config.allowWeakCertificates) log.warn('allow_weak_certificates is on: SHA-1 signatures and short keys are accepted')
  return new DevoSink(config, settings, log)
}

class DevoSink implements Sink {
  readonly maxShipmentsInFlight = MAX_SHIPMENTS_IN_FLIGHT
  readonly #settings: DevoSettings
  readonly #endpoint: Endpoint
  readonly #shipments = new Set<ShipmentStream>()
  #closed: Promise<void> | null = null

  constructor(config: DevoConfig, settings: DevoSettings, log: Logger) {
    const { clock, connect = connectTls(config, clock) } = settings
    this.#settings = settings
    this.#endpoint = new Endpoint(config, connect, clock, log)
    this.#endpoint.warmUp()
  }

  ship({ signal }: ShipmentContext): ShipmentStream {
    const steps = {
      open: (opening: AbortSignal) => this.#endpoint.open(opening),
      encode: (batch: Batch) => this.#encode(batch),
      delivered: (proof: Proof) => this.#endpoint.delivered(proof),
    }
    const shipment = new ShipmentStream(steps, signal)
    this.#shipments.add(shipment)
    shipment.once('close', () => this.#shipments.delete(shipment))
    if (this.#closed !== null) shipment.destroy(closedError())
    return shipment
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.#endpoint.check(signal)
  }

  async close(): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close(): Promise<void> {
    for (const shipment of this.#shipments) shipment.destroy(closedError())
    await this.#endpoint.close(closedError())
  }

  #encode(batch: Batch): Buffer {
    const { hostName, tagOf } = this.#settings
    const lines = encodeLines(batch, linePrefix(batch.pulledAt, hostName, tagOf(batch.inputId, batch.service)))
    releaseBytes(batch)
    return lines
  }
}

function closedError(): Error {
  return new Error('the output was closed')
}
