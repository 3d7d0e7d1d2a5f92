import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import { describeError } from '../../pipeline/errors.ts'
import type { Batch } from '../../pipeline/event.ts'
import type { ShipmentContext, Sink } from '../../pipeline/sink.ts'
import { Bucket, type Connection, type Upload } from './bucket.ts'
import type { S3Config } from './config.ts'
import { S3Shipment } from './shipment.ts'

export interface S3Settings {
  /** The output's name in the YAML, for the log. */
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
}

/** Each holds less than a part of every object that it has open. */
const MAX_SHIPMENTS_IN_FLIGHT = 2
/** How long a shipment that was given up may take to take its uploads away. */
const CLEANUP_MS = 1_000
const MAX_LEFT_OVER = 100
/** Never becomes an object. */
const CHECK_NAME = '.tap-collector-check'

/** Stores events as objects; delivered is what S3 has confirmed with an ETag. */
export function createS3Sink(config: S3Config, settings: S3Settings): Sink {
  return new S3Sink(config, settings)
}

class S3Sink implements Sink {
  readonly maxShipmentsInFlight = MAX_SHIPMENTS_IN_FLIGHT
  readonly #config: S3Config
  readonly #clock: Clock
  readonly #log: Logger
  readonly #bucket: Bucket
  readonly #runId = randomUUID()
  readonly #closing = new AbortController()
  readonly #open = new Set<Promise<unknown>>()
  /** Uploads that could not be taken away when their shipment failed. */
  #leftOver: Upload[] = []
  #isForbiddenTold = false

  constructor(config: S3Config, { name, clock, log }: S3Settings) {
    this.#config = config
    this.#clock = clock
    this.#log = log.child({ output: name })
    this.#bucket = new Bucket(config, clock, this.#closing.signal)
  }

  ship({ signal }: ShipmentContext): (batches: AsyncIterable<Batch>) => Promise<void> {
    return async (batches) =>
      this.#connected(signal, (connection, own) => {
        const shipment = new S3Shipment({ config: this.#config, connection, signal: own, runId: this.#runId })
        const work = shipment.run(batches).then(async () => this.#takeAway(connection, this.#leftOver.splice(0)))
        return { work, giveUp: async () => this.#takeAway(connection, await shipment.giveUp()) }
      })
  }

  /** An upload that is begun and taken away needs the very rights that a shipment needs, and leaves nothing. */
  async check(signal: AbortSignal): Promise<void> {
    await this.#connected(signal, (connection) => {
      const begun = connection.begin(`${this.#config.prefix}${CHECK_NAME}`)
      const giveUp = async (): Promise<void> => this.#takeAway(connection, await begun.then((upload) => [upload], () => []))
      return { work: begun.then(giveUp), giveUp }
    })
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the output was closed'))
    await Promise.allSettled(this.#open)
    this.#bucket.close()
  }

  /** Ends with the work, and soon after the signal or `close`; then nothing of its connections is left. */
  async #connected(signal: AbortSignal, begin: (connection: Connection, own: AbortSignal) => Work): Promise<void> {
    const own = new AbortController()
    const late = new AbortController()
    const aborted = Promise.withResolvers<never>()
    const sources = [signal, this.#closing.signal]
    const abort = (): void => {
      const reason: unknown = sources.find((source) => source.aborted)?.reason
      const error = reason instanceof Error ? reason : new Error('the shipment was given up')
      own.abort(error)
      aborted.reject(error)
    }
    const run = async (): Promise<void> => {
      for (const source of sources) source.addEventListener('abort', abort)
      const connection = this.#bucket.connect(late.signal)
      try {
        if (sources.some((source) => source.aborted)) abort()
        own.signal.throwIfAborted()
        const { work, giveUp } = begin(connection, own.signal)
        try {
          await Promise.race([aborted.promise, work])
        } catch (error) {
          const cancel = this.#clock.after(CLEANUP_MS, () => late.abort(error))
          await giveUp().finally(cancel)
          throw error
        }
      } finally {
        for (const source of sources) source.removeEventListener('abort', abort)
        aborted.promise.catch(() => undefined)
        late.abort(new Error('the shipment is over'))
        await connection.close()
      }
    }
    const running = run()
    this.#open.add(running)
    try {
      await running
    } finally {
      this.#open.delete(running)
    }
  }

  /** Those that cannot be taken away now are tried again behind the next shipment, unless S3 forbids it. */
  async #takeAway(connection: Connection, uploads: readonly Upload[]): Promise<void> {
    for (const upload of uploads) {
      try {
        if ((await connection.abort(upload)) === 'forbidden') this.#warnOfForbidden()
      } catch (error) {
        this.#log.debug(`an unfinished upload of ${upload.key} stays for now: ${describeError(error)}`)
        this.#leftOver = [...this.#leftOver, upload].slice(-MAX_LEFT_OVER)
      }
    }
  }

  #warnOfForbidden(): void {
    if (this.#isForbiddenTold) return
    this.#isForbiddenTold = true
    this.#log.warn(`unfinished uploads stay in bucket ${this.#config.bucket}: allow s3:AbortMultipartUpload below prefix, or have a lifecycle rule remove them`)
  }
}

interface Work {
  readonly work: Promise<void>
  /** Called once, where the work has failed or was given up. */
  readonly giveUp: () => Promise<void>
}
