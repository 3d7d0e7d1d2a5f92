import { constants } from 'node:fs'
import { access, lstat, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../../pipeline/clock.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import type { ShipmentContext, Sink } from '../../pipeline/sink.ts'
import type { FileConfig } from './config.ts'
import { explainFileError, notRegularError } from './errors.ts'
import type { Known } from './output-file.ts'
import { lastNumber, numbered, pathAt } from './paths.ts'
import { FileShipment } from './shipment.ts'

export interface FileSettings {
  readonly clock: Clock
}

const { R_OK, W_OK, X_OK } = constants

/** Appends events to files, one JSON object a line; delivered is what is fsynced. One shipment at a time. */
export function createFileSink(config: FileConfig, { clock }: FileSettings): Sink {
  return new FileSink(config, clock)
}

class FileSink implements Sink {
  readonly maxShipmentsInFlight = 1
  readonly #config: FileConfig
  readonly #clock: Clock
  readonly #known = new Map<string, Known>()
  readonly #shipments = new Set<FileShipment>()
  #ended: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(config: FileConfig, clock: Clock) {
    this.#config = config
    this.#clock = clock
  }

  ship({ signal }: ShipmentContext): FileShipment {
    const shipment = new FileShipment({ config: this.#config, signal, known: this.#known, after: this.#ended })
    this.#ended = shipment.ended
    this.#shipments.add(shipment)
    shipment.once('close', () => this.#shipments.delete(shipment))
    if (this.#isClosed) shipment.destroy(closedError())
    return shipment
  }

  /** Makes nothing, and repairs nothing: a collector may be running on the same files. */
  async check(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const base = pathAt(this.#config.path, this.#clock.now())
    const last = await lastNumber(base).catch((error: unknown) => {
      throw explainFileError(error, base)
    })
    if (last === null) await checkFolder(dirname(base))
    else await checkFile(numbered(base, last))
  }

  /** Resolves when what was under way is taken back. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const shipment of this.#shipments) shipment.destroy(closedError())
    await this.#ended
  }
}

async function checkFile(path: string): Promise<void> {
  try {
    const stats = await lstat(path)
    if (stats.isSymbolicLink()) throw Object.assign(new Error('a symbolic link'), { code: 'ELOOP' })
    if (stats.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' })
    if (!stats.isFile()) throw notRegularError(path)
    await access(path, R_OK | W_OK)
    await access(dirname(path), R_OK | W_OK | X_OK)
  } catch (error) {
    throw explainFileError(error, path)
  }
}

/** Whether a file can be made there, or the folders for it. */
async function checkFolder(dir: string): Promise<void> {
  try {
    if (!(await stat(dir)).isDirectory()) throw new RetryableError(`${dir} is a file, and must be a folder`, { code: 'FilePathWrong' })
    await access(dir, R_OK | W_OK | X_OK)
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!isMissing || dir === dirname(dir)) throw explainFileError(error, dir)
    await checkFolder(dirname(dir))
  }
}

function closedError(): Error {
  return new Error('the output was closed')
}
