import { readFile } from 'node:fs/promises'
import type { Logger } from 'pino'
import { createKafkaClient, type KafkaClient } from '../../kafka/client.ts'
import { explainKafkaError, isNoTopic, isTooLarge } from '../../kafka/errors.ts'
import { TopicProducer } from '../../kafka/topic-producer.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { codeOf, FatalError, RetryableError } from '../../pipeline/errors.ts'
import type { ShipmentContext, Sink } from '../../pipeline/sink.ts'
import type { KafkaOutputConfig } from './config.ts'
import { KafkaShipment, type KafkaShipmentSteps } from './shipment.ts'

export interface KafkaSinkSettings {
  /** The output's name in the YAML. */
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
}

/**
 * Writes events to a topic of the user's, one JSON value each, keyed by service; delivered is what all replicas in sync have. One shipment at a
 * time, so that the events of a service stay in their order.
 */
export function createKafkaSink(config: KafkaOutputConfig, settings: KafkaSinkSettings): Sink {
  return new KafkaSink(config, settings)
}

class KafkaSink implements Sink {
  readonly maxShipmentsInFlight = 1
  readonly #topic: string
  readonly #settingsPath: string
  readonly #producer: TopicProducer
  readonly #shipments = new Set<KafkaShipment>()
  readonly #steps: KafkaShipmentSteps
  #isClosed = false

  constructor(config: KafkaOutputConfig, { name, clock, log }: KafkaSinkSettings) {
    const { topic, compression } = config
    this.#topic = topic
    this.#settingsPath = `outputs.${name}.config`
    const producer = new TopicProducer(() => connect(config, log), { topic, compression, clock })
    this.#producer = producer
    this.#steps = {
      send: (key, values) => this.#explained(producer.send(key, values)),
      giveUp: (reason) => producer.giveUp(reason),
      isTooLarge,
    }
  }

  ship(context: ShipmentContext): KafkaShipment {
    const shipment = new KafkaShipment(this.#steps, context)
    this.#shipments.add(shipment)
    shipment.once('close', () => this.#shipments.delete(shipment))
    if (this.#isClosed) shipment.destroy(closedError())
    return shipment
  }

  async check(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const abort = (): void => this.#producer.giveUp(signal.reason instanceof Error ? signal.reason : new Error('the check was given up'))
    signal.addEventListener('abort', abort)
    try {
      await this.#explained(this.#producer.look())
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const shipment of this.#shipments) shipment.destroy(closedError())
    this.#producer.close()
  }

  /** What a person must mend is waited for: this output alone stands still. */
  async #explained(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      if (isNoTopic(error)) throw new RetryableError(`the topic ${this.#topic} does not exist, or this user may not see it; it is not made here`, { code: 'KafkaOutputTopicMissing', cause: error })
      const explained = explainKafkaError(error, `writing to the topic ${this.#topic}`, this.#settingsPath)
      throw explained instanceof FatalError ? new RetryableError(explained.message, { code: codeOf(explained) ?? 'KafkaUnavailable', cause: explained.cause }) : explained
    }
  }
}

/** With the certificates as they are now. Throws RetryableError: whoever replaces them may be halfway through. */
async function connect({ brokers, ssl, sasl }: KafkaOutputConfig, log: Logger): Promise<KafkaClient> {
  if (ssl === false) return createKafkaClient({ brokers, ssl, sasl }, log)
  const files = Object.entries(ssl).filter((entry): entry is [string, string] => entry[1] !== null)
  const contents = await Promise.all(files.map(async ([key, file]) => [key, await readCertificate(file)] as const))
  return createKafkaClient({ brokers, ssl: Object.fromEntries(contents), sasl }, log)
}

async function readCertificate(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw new RetryableError(`${file} cannot be read`, { code: 'CertificateUnusable', cause: error })
  }
}

function closedError(): Error {
  return new Error('the output was closed')
}
