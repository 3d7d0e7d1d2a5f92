import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import { releaseBytes, type Batch } from '../../pipeline/event.ts'
import type { ShipmentContext, Sink } from '../../pipeline/sink.ts'
import type { PeerConfig } from './config.ts'
import type { Connect } from './connection.ts'
import { Endpoint, type EndpointNames } from './endpoint.ts'
import type { Proof } from './proof.ts'
import { ShipmentStream } from './shipment-stream.ts'

export interface ProvenSinkSettings extends EndpointNames {
  readonly clock: Clock
  /** With the output's name. */
  readonly log: Logger
  readonly connect: Connect
  /** A batch as it goes on the wire. */
  readonly encode: (batch: Batch) => Uint8Array
}

/** More than any `shipments_in_flight` that makes sense: each is a connection of its own. */
const MAX_SHIPMENTS_IN_FLIGHT = 16

/**
 * Delivers over a connection a shipment, to a peer that acknowledges nothing: the connection itself is the proof (proof.ts). Probing begins here
 * at once, beside the first fetch; whoever makes a sink owes a `close()`.
 */
export function createProvenSink(config: PeerConfig, settings: ProvenSinkSettings): Sink {
  return new ProvenSink(config, settings)
}

class ProvenSink implements Sink {
  readonly maxShipmentsInFlight = MAX_SHIPMENTS_IN_FLIGHT
  readonly #endpoint: Endpoint
  readonly #encode: (batch: Batch) => Uint8Array
  readonly #shipments = new Set<ShipmentStream>()
  #closed: Promise<void> | null = null

  constructor(config: PeerConfig, settings: ProvenSinkSettings) {
    const { connect, clock, log, encode } = settings
    this.#encode = encode
    this.#endpoint = new Endpoint(config, settings, connect, clock, log)
    this.#endpoint.warmUp()
  }

  ship({ signal }: ShipmentContext): ShipmentStream {
    const steps = {
      open: (opening: AbortSignal) => this.#endpoint.open(opening),
      encode: (batch: Batch) => {
        const bytes = this.#encode(batch)
        releaseBytes(batch)
        return bytes
      },
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
}

function closedError(): Error {
  return new Error('the output was closed')
}
