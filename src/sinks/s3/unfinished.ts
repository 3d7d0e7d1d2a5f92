import type { Logger } from 'pino'
import { describeError } from '../../pipeline/errors.ts'
import type { Connection, Upload } from './bucket.ts'

const MAX_LEFT_OVER = 100

/** Uploads that will never be completed, and how they are taken away: nobody sees them, but their parts are stored and paid for. */
export class Unfinished {
  readonly #log: Logger
  readonly #bucket: string
  /** Those that could not be taken away yet, by their ids. */
  readonly #leftOver = new Map<string, Upload>()
  #isForbiddenTold = false

  constructor(bucket: string, log: Logger) {
    this.#bucket = bucket
    this.#log = log
  }

  /** Never rejects: what cannot be taken away now is left over, unless S3 forbids it for good. */
  async takeAway(connection: Connection, uploads: readonly Upload[]): Promise<void> {
    for (const [index, upload] of uploads.entries()) {
      try {
        if ((await connection.abort(upload)) === 'forbidden') this.#warnOfForbidden()
      } catch (error) {
        this.#log.debug(`an unfinished upload of ${upload.key} stays for now: ${describeError(error)}`)
        // Nor would the others go.
        this.leaveOver(uploads.slice(index))
        return
      }
    }
  }

  async takeAwayLeftOver(connection: Connection): Promise<void> {
    const uploads = [...this.#leftOver.values()]
    this.#leftOver.clear()
    await this.takeAway(connection, uploads)
  }

  /** For `takeAwayLeftOver`. */
  leaveOver(uploads: readonly Upload[]): void {
    for (const upload of uploads) this.#leftOver.set(upload.id, upload)
    for (const id of [...this.#leftOver.keys()].slice(0, -MAX_LEFT_OVER)) this.#leftOver.delete(id)
  }

  #warnOfForbidden(): void {
    if (this.#isForbiddenTold) return
    this.#isForbiddenTold = true
    this.#log.warn({ code: 'S3UnfinishedUploads' }, `unfinished uploads stay in bucket ${this.#bucket}: allow s3:AbortMultipartUpload below prefix, or have a lifecycle rule remove them`)
  }
}
