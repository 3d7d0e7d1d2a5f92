import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import type { Batch } from '../../pipeline/event.ts'
import type { ShipmentContext, Sink } from '../../pipeline/sink.ts'
import { OpenWork } from '../open-work.ts'
import { statusError } from './answer-errors.ts'
import { openClient, type Client } from './client.ts'
import type { HttpConfig } from './config.ts'
import { elasticFormat } from './elastic-format.ts'
import type { Format } from './format.ts'
import { jsonFormat } from './json-format.ts'
import { Limits } from './limits.ts'
import { secretsOf } from './secrets.ts'
import { HttpShipment } from './shipment.ts'
import { splunkFormat } from './splunk-format.ts'

export interface HttpSettings {
  /** The output's name in the YAML, for the log. */
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
  /** What Splunk gets as the host. */
  readonly hostName: string
}

/** Each has connections of its own and one request under way. */
const MAX_SHIPMENTS_IN_FLIGHT = 16

/** Delivers by POST requests. What proves a delivery depends on the format (json-format.ts, splunk-format.ts, elastic-format.ts). */
export function createHttpSink(config: HttpConfig, settings: HttpSettings): Sink {
  return new HttpSink(config, settings)
}

class HttpSink implements Sink {
  readonly maxShipmentsInFlight = MAX_SHIPMENTS_IN_FLIGHT
  readonly #config: HttpConfig
  readonly #settings: HttpSettings
  readonly #log: Logger
  readonly #limits: Limits
  readonly #secrets: readonly string[]
  readonly #work = new OpenWork()

  constructor(config: HttpConfig, settings: HttpSettings) {
    this.#config = config
    this.#settings = settings
    this.#log = settings.log.child({ output: settings.name })
    this.#limits = new Limits(config.maxRequestBytes, settings.clock)
    this.#secrets = secretsOf(config)
  }

  ship({ signal, reject }: ShipmentContext): (batches: AsyncIterable<Batch>) => Promise<void> {
    return async (batches) => this.#connected(signal, async (connect, own) => {
      // No connection for a shipment without events: the client is opened by the first request.
      const client: Client = { post: async (...request) => (await connect()).post(...request), close: async () => undefined }
      const { gzip } = this.#config
      await new HttpShipment({
        client, gzip, reject,
        format: this.#format(), limits: this.#limits, secrets: this.#secrets, clock: this.#settings.clock, log: this.#log, signal: own,
      }).run(batches)
    })
  }

  /** A request without events: whatever it is answered, but for what says that it lacks events, is what a shipment would be answered too. */
  async check(signal: AbortSignal): Promise<void> {
    await this.#connected(signal, async (connect) => {
      const format = this.#format()
      const client = await connect()
      const answer = await client.post(format.url, format.headers, Buffer.from(format.empty))
      const { status } = answer
      if (!(status >= 200 && status < 300) && status !== 400 && status !== 422) throw statusError(answer, this.#secrets)
      await format.check(answer, async (url, headers, body) => client.post(url, headers, Buffer.from(body)))
    })
  }

  async close(): Promise<void> {
    await this.#work.close()
  }

  /** Ends with the work, and no later than the signal or `close`; then nothing of its connections is left. */
  async #connected(signal: AbortSignal, work: (connect: () => Promise<Client>, own: AbortSignal) => Promise<void>): Promise<void> {
    let opening: Promise<Client> | null = null
    const close = async (): Promise<void> => (await opening?.catch(() => null))?.close()
    await this.#work.run(signal, async (own, aborted) => {
      const connect = async (): Promise<Client> => (opening ??= openClient(this.#config, this.#settings.clock, own))
      await Promise.race([aborted, work(connect, own)]).finally(close)
    })
  }

  #format(): Format {
    const { url, format, index } = this.#config
    const { hostName, clock } = this.#settings
    switch (format) {
      case 'ndjson':
      case 'json_array':
        return jsonFormat(url, format, this.#secrets)
      case 'splunk_hec':
        return splunkFormat(this.#config, { hostName, clock, secrets: this.#secrets })
      case 'elastic_bulk':
        return elasticFormat(url, index, this.#secrets)
    }
  }
}
