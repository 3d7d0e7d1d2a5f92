import { Writable } from 'node:stream'
import type { Batch } from '../../pipeline/event.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import type { ShipmentContext, Sink } from '../../pipeline/sink.ts'
import { encodeLines, encodeTagged, type LineSettings } from '../line.ts'

export interface ConsoleConfig {
  /** line: as on the wire to Devo. ndjson: the same JSON alone. */
  readonly format: 'line' | 'ndjson'
}

export interface ConsoleSettings extends LineSettings {
  readonly name: string
  /** Default: standard output. It is never ended. */
  readonly stdout?: Writable
}

const NO_PREFIX = Buffer.alloc(0)

/** Writes events to standard output; delivered is what it has taken (a pipe's reader may still lose it). One shipment at a time. */
export function createConsoleSink(config: ConsoleConfig, settings: ConsoleSettings): Sink {
  return new ConsoleSink(config, settings)
}

class ConsoleSink implements Sink {
  readonly maxShipmentsInFlight = 1
  readonly #config: ConsoleConfig
  readonly #settings: ConsoleSettings
  readonly #stdout: Writable
  readonly #shipments = new Set<Writable>()
  /** Every write's callback gets its error; without a listener the stream's own 'error' would end the process. */
  readonly #ignore = (): void => undefined
  #closed = false

  constructor(config: ConsoleConfig, settings: ConsoleSettings) {
    this.#config = config
    this.#settings = settings
    this.#stdout = settings.stdout ?? process.stdout
    this.#stdout.on('error', this.#ignore)
  }

  ship({ signal }: ShipmentContext): Writable {
    const abort = (): void => void shipment.destroy(signal.reason instanceof Error ? signal.reason : new Error('the shipment was given up'))
    const shipment: Writable = new Writable({
      objectMode: true,
      highWaterMark: 1,
      write: (batch: Batch, _encoding, done) => this.#write(batch, done),
    })
    shipment.on('error', this.#ignore)
    shipment.once('close', () => {
      signal.removeEventListener('abort', abort)
      this.#shipments.delete(shipment)
    })
    this.#shipments.add(shipment)
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
    if (this.#closed) shipment.destroy(closedError())
    return shipment
  }

  async check(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (!this.#stdout.writable) throw new RetryableError('standard output is closed', { code: 'ConsoleClosed' })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const shipment of this.#shipments) shipment.destroy(closedError())
    // Behind everything under way, and behind the 'error' that follows a write's callback.
    const leave = (): void => void setImmediate(() => this.#stdout.off('error', this.#ignore))
    if (this.#stdout.writable) this.#stdout.write('', leave)
    else leave()
  }

  #write(batch: Batch, done: (error?: Error | null) => void): void {
    if (batch.lines.length === 0) {
      done()
      return
    }
    this.#stdout.write(this.#encode(batch), (error) => {
      done(error ? new RetryableError('standard output does not take events: its reader has gone', { code: 'ConsoleClosed', cause: error }) : null)
    })
  }

  #encode(batch: Batch): Buffer {
    return this.#config.format === 'ndjson' ? encodeLines(batch, NO_PREFIX) : encodeTagged(batch, this.#settings)
  }
}

function closedError(): Error {
  return new Error('the output was closed')
}
