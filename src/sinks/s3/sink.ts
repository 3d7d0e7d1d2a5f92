import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import type { Batch } from '../../pipeline/event.ts'
import type { ShipmentContext, Sink } from '../../pipeline/sink.ts'
import { OpenWork } from '../open-work.ts'
import { Bucket, type Connection, type Upload } from './bucket.ts'
import type { S3Config } from './config.ts'
import { S3Shipment } from './shipment.ts'
import { Unfinished } from './unfinished.ts'

export interface S3Settings {
  /** The output's name in the YAML, for the log. */
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
}

/** Each holds less than a part of every object that it has open. */
const MAX_SHIPMENTS_IN_FLIGHT = 2
/** Of a shipment that was given up: how long a request that is under way may still take, and how long until its uploads are taken away. */
const CUT_MS = 500
const CLEANUP_MS = 1_000
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
  readonly #bucket: Bucket
  readonly #unfinished: Unfinished
  readonly #runId = randomUUID()
  readonly #work = new OpenWork()

  constructor(config: S3Config, { name, clock, log }: S3Settings) {
    this.#config = config
    this.#clock = clock
    this.#unfinished = new Unfinished(config.bucket, log.child({ output: name }))
    this.#bucket = new Bucket(config, clock, this.#work.closing)
  }

  ship({ signal }: ShipmentContext): (batches: AsyncIterable<Batch>) => Promise<void> {
    return async (batches) =>
      this.#connected(signal, (connection, own, cut) => {
        const shipment = new S3Shipment({ config: this.#config, connection, signal: own, cut, runId: this.#runId })
        const work = shipment.run(batches).then(async () => this.#unfinished.takeAwayLeftOver(connection))
        return { work, giveUp: async () => shipment.giveUp() }
      })
  }

  /** An upload that is begun and taken away needs the very rights that a shipment needs, and leaves nothing. */
  async check(signal: AbortSignal): Promise<void> {
    await this.#connected(signal, (connection, _own, cut) => {
      const begun = connection.begin(`${this.#config.prefix}${CHECK_NAME}`, cut)
      const work = begun.then(async (upload) => this.#unfinished.takeAway(connection, [upload]))
      return { work, giveUp: async () => begun.then((upload) => [upload], () => []) }
    })
  }

  async close(): Promise<void> {
    await this.#work.close()
    this.#bucket.close()
  }

  /** Ends with the work, and soon after the signal or `close`; then nothing of its connections is left. */
  async #connected(signal: AbortSignal, begin: (connection: Connection, own: AbortSignal, cut: AbortSignal) => Work): Promise<void> {
    await this.#work.run(signal, async (own, aborted) => {
      const cut = new AbortController()
      const late = new AbortController()
      const connection = this.#bucket.connect(late.signal)
      try {
        const { work, giveUp } = begin(connection, own, cut.signal)
        try {
          await Promise.race([aborted, work])
        } catch (error) {
          const cancels = [this.#clock.after(CUT_MS, () => cut.abort(error)), this.#clock.after(CLEANUP_MS, () => late.abort(error))]
          try {
            const uploads = await giveUp()
            await this.#unfinished.takeAway(connection, uploads)
            // A part that was cut off may be stored only now.
            if (cut.signal.aborted) this.#unfinished.leaveOver(uploads)
          } finally {
            for (const cancel of cancels) cancel()
          }
          throw error
        }
      } finally {
        late.abort(new Error('the shipment is over'))
        await connection.close()
      }
    })
  }
}

interface Work {
  readonly work: Promise<void>
  /** Called once, where the work has failed or was given up: the uploads to take away. */
  readonly giveUp: () => Promise<readonly Upload[]>
}
