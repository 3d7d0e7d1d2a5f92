import { Writable } from 'node:stream'
import type { Batch } from '../../pipeline/event.ts'
import { encodeLines } from '../line.ts'
import type { FileConfig } from './config.ts'
import { explainFileError } from './errors.ts'
import { OutputFile, takeBack, type Known, type Written } from './output-file.ts'
import { lastNumber, numbered, pathAt } from './paths.ts'

/** A shipment may hold pulls of many hours; the file that was opened first is closed when there are more. */
const MAX_OPEN_FILES = 8
const NO_PREFIX = Buffer.alloc(0)

export interface FileShipmentOptions {
  readonly config: FileConfig
  readonly signal: AbortSignal
  /** What is known of the files that this output has written to; what was written is noted here. */
  readonly known: Map<string, Known>
  /** Nothing is written before it resolves: the shipment before is taken back by then. */
  readonly after: Promise<unknown>
}

/**
 * The writing end of one shipment. Its 'finish' means that all is fsynced, file and folder. One that fails is taken back from all files that
 * it has written to, so that a retry leaves nothing twice and no half event; `ended` resolves when that is done.
 */
export class FileShipment extends Writable {
  readonly ended: Promise<unknown>
  readonly #options: FileShipmentOptions
  readonly #ended = Promise.withResolvers<undefined>()
  /** Those that are open, by their path without a number; the oldest first. */
  readonly #open = new Map<string, OutputFile>()
  readonly #written: Written[] = []
  #running: Promise<unknown>
  #isDelivered = false
  readonly #abort = (): void => {
    const reason: unknown = this.#options.signal.reason
    this.destroy(reason instanceof Error ? reason : new Error('the shipment was given up'))
  }

  constructor(options: FileShipmentOptions) {
    super({ objectMode: true, highWaterMark: 1 })
    this.#options = options
    this.#running = options.after
    this.ended = this.#ended.promise
    // Whoever gave it up before it was part of a pipeline has no handler yet.
    this.on('error', () => undefined)
    options.signal.addEventListener('abort', this.#abort)
    if (options.signal.aborted) this.#abort()
  }

  override _write(batch: Batch, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (batch.lines.length === 0) done()
    else this.#run(() => this.#append(batch), done)
  }

  /** Never async: a Writable hangs for ever on an `async _final` that throws. */
  override _final(done: (error?: Error | null) => void): void {
    const finish = async (): Promise<void> => {
      for (const base of [...this.#open.keys()]) await this.#settle(base)
      // One that was given up meanwhile is taken back.
      this.#isDelivered = !this.destroyed
      if (!this.#isDelivered) return
      this.#forgetOthers()
    }
    this.#run(finish, done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#options.signal.removeEventListener('abort', this.#abort)
    void this.#running.then(() => (this.#isDelivered ? undefined : this.#takeBack())).finally(() => this.#ended.resolve(undefined))
    done(error)
  }

  #run(work: () => Promise<void>, done: (error?: Error | null) => void): void {
    const run = this.#running.then(async () => {
      if (!this.destroyed) await work()
    })
    this.#running = run.catch(() => undefined)
    run.then(() => done(), (error: unknown) => done(error instanceof Error ? error : new Error(String(error))))
  }

  async #append(batch: Batch): Promise<void> {
    const { path, rotateBytes } = this.#options.config
    const base = pathAt(path, batch.pulledAt)
    try {
      const current = await this.#fileAt(base)
      const isFull = rotateBytes !== null && current.size >= rotateBytes
      await (isFull ? await this.#next(base) : current).append(encodeLines(batch, NO_PREFIX))
    } catch (error) {
      throw explainFileError(error, this.#open.get(base)?.path ?? base)
    }
  }

  async #fileAt(base: string): Promise<OutputFile> {
    const open = this.#open.get(base)
    if (open !== undefined) return open
    const [oldest] = this.#open.keys()
    if (oldest !== undefined && this.#open.size >= MAX_OPEN_FILES) await this.#settle(oldest)
    const { gzip } = this.#options.config
    const last = await lastNumber(base)
    const path = numbered(base, last ?? 0)
    const file = last === null ? await OutputFile.create(path, gzip) : await OutputFile.reopen(path, gzip, this.#options.known.get(path))
    this.#open.set(base, file)
    return file
  }

  /** The old one is durable before the new one is there. */
  async #next(base: string): Promise<OutputFile> {
    await this.#settle(base)
    const file = await OutputFile.create(numbered(base, ((await lastNumber(base)) ?? -1) + 1), this.#options.config.gzip)
    this.#open.set(base, file)
    return file
  }

  async #settle(base: string): Promise<void> {
    const file = this.#open.get(base)
    if (file === undefined) return
    try {
      await file.settle()
    } catch (error) {
      throw explainFileError(error, file.path)
    } finally {
      this.#open.delete(base)
      this.#note(file.written)
    }
  }

  #note(written: Written): void {
    this.#written.push(written)
    this.#options.known.set(written.path, written)
  }

  /** Files of former hours are hardly written to again. */
  #forgetOthers(): void {
    const paths = new Set(this.#written.map(({ path }) => path))
    if (paths.size === 0) return
    for (const path of this.#options.known.keys()) if (!paths.has(path)) this.#options.known.delete(path)
  }

  /** What cannot be taken back now is whole lines that come twice, and a torn one that is cut off before the file is written to again. */
  async #takeBack(): Promise<void> {
    for (const [base, file] of this.#open) {
      await file.close().catch(() => undefined)
      this.#open.delete(base)
      this.#note(file.written)
    }
    const { known } = this.#options
    for (const written of this.#written.reverse()) {
      const isTakenBack = await takeBack(written).catch(() => false)
      if (isTakenBack && !written.isNew) known.set(written.path, { ...written, size: written.base })
      else known.delete(written.path)
    }
  }
}
