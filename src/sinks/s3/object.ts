import { createHash } from 'node:crypto'
import type { Connection, Upload } from './bucket.ts'
import { createEncoder, type Encoder } from './encoder.ts'

/** How large the parts of an object are, all but the last: some kinds of S3 want them alike, and every one at least 5 MiB. */
const PART_BYTES = 8 * 1024 * 1024

export interface ObjectOptions {
  readonly connection: Connection
  /** Nothing is begun once it aborts. */
  readonly signal: AbortSignal
  /** Aborts later: what is under way may come to its end, for a part that S3 has not yet stored when its upload is taken away may stay behind. */
  readonly cut: AbortSignal
  readonly gzip: boolean
  /** What the key begins with; the name, made from the content, follows. */
  readonly keyBefore: string
  readonly keyAfter: string
  /** Stands for this sink, as long as the process lives. */
  readonly runId: string
}

/**
 * One object on its way. Up to a part it is kept and put at once; a larger one goes in parts as they fill, so that no more than one is ever held.
 *
 * Its key decides what a repeated shipment does. One that is put at once is named by a hash of its whole content: sent again, by whomever, it takes its own place,
 * and nothing else ever does. A larger one must have its name before its content is known. It gets it from its first batch and from this run of the sink: the
 * same run sends the same events again, or more behind them, but another one (`replay` above all) may end elsewhere and must not take its place.
 */
export class S3Object {
  readonly #options: ObjectOptions
  readonly #encoder: Encoder
  readonly #hash = createHash('sha256')
  readonly #etags: string[] = []
  #first: Buffer | null = null
  #pieces: Uint8Array[] = []
  #bytes = 0
  #upload: Promise<Upload> | null = null

  constructor(options: ObjectOptions) {
    this.#options = options
    this.#encoder = createEncoder(options.gzip)
  }

  async add(lines: Uint8Array): Promise<void> {
    this.#hash.update(lines)
    this.#first ??= this.#hash.copy().digest()
    this.#keep(await this.#encoder.write(lines))
    await this.#putFullParts()
  }

  /** Resolves when the object is stored. */
  async store(): Promise<void> {
    this.#keep(await this.#encoder.end())
    await this.#putFullParts()
    const { connection, signal, cut } = this.#options
    const rest = Buffer.concat(this.#pieces.splice(0))
    if (this.#upload === null) {
      await connection.put(this.#key(this.#hash.digest()), rest, signal)
      return
    }
    const upload = await this.#upload
    if (rest.length > 0) await this.#putPart(upload, rest)
    signal.throwIfAborted()
    await connection.complete(upload, this.#etags, cut)
    this.#upload = null
  }

  /** The upload that was begun and not completed, or null. */
  async giveUp(): Promise<Upload | null> {
    this.#encoder.close()
    this.#pieces = []
    // One that has failed to begin is none.
    return (await this.#upload?.catch(() => null)) ?? null
  }

  #keep(pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) {
      this.#pieces.push(piece)
      this.#bytes += piece.length
    }
  }

  async #putFullParts(): Promise<void> {
    while (this.#bytes > PART_BYTES) {
      const all = Buffer.concat(this.#pieces)
      // A copy, or it would hold the whole in memory.
      this.#pieces = [Buffer.from(all.subarray(PART_BYTES))]
      this.#bytes -= PART_BYTES
      await this.#putPart(await this.#begun(), all.subarray(0, PART_BYTES))
      // Its memory is given back now and not when the garbage collector comes round to it.
      all.buffer.transfer(0)
    }
  }

  async #begun(): Promise<Upload> {
    const { connection, signal, cut, runId } = this.#options
    signal.throwIfAborted()
    const key = this.#key(createHash('sha256').update(this.#first ?? '').update(runId).digest())
    this.#upload ??= connection.begin(key, cut)
    return this.#upload
  }

  async #putPart(upload: Upload, body: Uint8Array): Promise<void> {
    const { connection, signal, cut } = this.#options
    signal.throwIfAborted()
    this.#etags.push(await connection.putPart(upload, this.#etags.length + 1, body, cut))
  }

  #key(hash: Buffer): string {
    const { keyBefore, keyAfter } = this.#options
    return `${keyBefore}${hash.toString('hex').slice(0, 32)}${keyAfter}`
  }
}
