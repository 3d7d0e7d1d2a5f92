import type { Batch } from '../../pipeline/event.ts'
import { releaseBytes } from '../../pipeline/event.ts'
import { encodeLines } from '../line.ts'
import type { Connection, Upload } from './bucket.ts'
import type { S3Config } from './config.ts'
import { S3Object } from './object.ts'

/** A shipment may hold pulls of many hours; the object that was begun first is stored when there are more. */
const MAX_OPEN_OBJECTS = 8
const NO_PREFIX = Buffer.alloc(0)

export interface S3ShipmentParts {
  readonly config: Pick<S3Config, 'prefix' | 'gzip'>
  readonly connection: Connection
  readonly signal: AbortSignal
  /** Aborts some time after it, for what is under way. */
  readonly cut: AbortSignal
  readonly runId: string
}

/** The objects of one shipment: one for each service and hour of its pulls. What is held in memory is less than a part of each. */
export class S3Shipment {
  readonly #parts: S3ShipmentParts
  /** Those that are not yet stored, by service and hour; the oldest first. */
  readonly #open = new Map<string, S3Object>()

  constructor(parts: S3ShipmentParts) {
    this.#parts = parts
  }

  /** Resolves when all events are stored. */
  async run(batches: AsyncIterable<Batch>): Promise<void> {
    for await (const batch of batches) {
      const lines = encodeLines(batch, NO_PREFIX)
      const object = await this.#objectOf(batch)
      releaseBytes(batch)
      if (lines.length > 0) await object.add(lines)
    }
    for (const place of [...this.#open.keys()]) await this.#store(place)
  }

  /** The uploads that are begun and will never be completed. Nothing more is begun then. */
  async giveUp(): Promise<readonly Upload[]> {
    const uploads = await Promise.all([...this.#open.values()].map(async (object) => object.giveUp()))
    return uploads.filter((upload) => upload !== null)
  }

  async #objectOf({ service, pulledAt }: Batch): Promise<S3Object> {
    const { config: { prefix, gzip }, ...parts } = this.#parts
    const time = new Date(pulledAt).toISOString()
    const place = `${prefix}${service}/${time.slice(0, 13).replace(/[-T]/g, '/')}/`
    const open = this.#open.get(place)
    if (open !== undefined) return open
    const [oldest] = this.#open.keys()
    if (oldest !== undefined && this.#open.size >= MAX_OPEN_OBJECTS) await this.#store(oldest)
    const keyBefore = `${place}${time.replace(/[-:.]/g, '')}-`
    const object = new S3Object({ ...parts, gzip, keyBefore, keyAfter: gzip ? '.ndjson.gz' : '.ndjson' })
    this.#open.set(place, object)
    return object
  }

  async #store(place: string): Promise<void> {
    await this.#open.get(place)?.store()
    this.#open.delete(place)
  }
}
