import type { Stats } from 'node:fs'
import { constants, lstat, mkdir, open, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { RetryableError } from '../../pipeline/errors.ts'
import { explainFileError, foreignError, notRegularError } from './errors.ts'
import { GzipMember, wholeMembers } from './gzip-member.ts'
import { wholeLines } from './whole-lines.ts'

/** What a file was when it was last looked at: so it holds whole events, and nobody else has written to it. */
export interface Known {
  readonly dev: number
  readonly ino: number
  readonly size: number
}

/** What a shipment has written to a file, so that it can be taken back. */
export interface Written extends Known {
  readonly path: string
  /** How long it was before. */
  readonly base: number
  readonly isNew: boolean
}

const { O_RDWR, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants
/** Who may read events is up to the folder. */
const FILE_MODE = 0o640
const FOLDER_MODE = 0o700

interface Parts extends Omit<Written, 'size'> {
  readonly handle: FileHandle
  readonly gzip: boolean
}

/** One file that a shipment writes to; lines in, and out of it lines, or with gzip one member. */
export class OutputFile {
  readonly path: string
  readonly #handle: FileHandle
  readonly #written: Omit<Written, 'size'>
  readonly #member: GzipMember | null
  #size: number

  private constructor({ handle, gzip, ...written }: Parts) {
    this.path = written.path
    this.#handle = handle
    this.#written = written
    this.#size = written.base
    this.#member = gzip ? new GzipMember() : null
  }

  /** A new one, and folders that are missing; its name is durable. Throws RetryableError, also where there is one already. */
  static async create(path: string, gzip: boolean): Promise<OutputFile> {
    await makeFolder(dirname(path))
    const handle = await open(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE)
    return await closedOnError(handle, async () => {
      await syncFolder(dirname(path))
      const { dev, ino } = await handle.stat()
      return new OutputFile({ path, handle, dev, ino, base: 0, isNew: true, gzip })
    })
  }

  /** One that is there. Where it is not as it was `known`, what a kill has left of an event at its end is cut off first. */
  static async reopen(path: string, gzip: boolean, known: Known | undefined): Promise<OutputFile> {
    // Without O_NONBLOCK a named pipe would be waited for.
    const handle = await open(path, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK)
    return await closedOnError(handle, async () => {
      const stats = await handle.stat()
      if (!stats.isFile()) throw notRegularError(path)
      const { dev, ino, size } = stats
      const whole = isAs(stats, known) ? size : await (gzip ? wholeMembers(handle, size) : wholeLines(handle, size))
      if (whole === null) throw foreignError(path, gzip)
      if (whole < size) await handle.truncate(whole)
      return new OutputFile({ path, handle, dev, ino, base: whole, isNew: false, gzip })
    })
  }

  /** Bytes in the file; with gzip what has come out of the compression so far. */
  get size(): number {
    return this.#size
  }

  get written(): Written {
    return { ...this.#written, size: this.#size }
  }

  async append(lines: Buffer): Promise<void> {
    await this.#write(this.#member === null ? lines : await this.#member.add(lines))
  }

  /** Durable once resolved; the file is closed in any case. */
  async settle(): Promise<Written> {
    try {
      if (this.#member !== null) await this.#write(await this.#member.end())
      await this.#handle.sync()
      return this.written
    } finally {
      await this.close()
    }
  }

  /** May be called again. */
  async close(): Promise<void> {
    this.#member?.destroy()
    await this.#handle.close()
  }

  async #write(bytes: Buffer): Promise<void> {
    if (bytes.length === 0) return
    const { size } = await this.#handle.stat()
    if (size !== this.#size) throw new RetryableError(`another program writes to ${this.path}; each collector and each output needs files of its own`, { code: 'FileShared' })
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, at)
      at += bytesWritten
      this.#size += bytesWritten
    }
  }
}

/** Takes back what a shipment has written; a file that somebody else has changed since stays as it is. Tells whether it was done. */
export async function takeBack(written: Written): Promise<boolean> {
  const { path, base, isNew } = written
  if (!isAs(await lstat(path), written)) return false
  if (isNew) {
    await unlink(path)
    return true
  }
  const handle = await open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK)
  try {
    if (!isAs(await handle.stat(), written)) return false
    await handle.truncate(base)
    return true
  } finally {
    await handle.close()
  }
}

function isAs(stats: Stats, known: Known | undefined): boolean {
  return stats.dev === known?.dev && stats.ino === known.ino && stats.size === known.size
}

async function closedOnError(handle: FileHandle, make: () => Promise<OutputFile>): Promise<OutputFile> {
  try {
    return await make()
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function makeFolder(dir: string): Promise<void> {
  const first = await mkdir(dir, { recursive: true, mode: FOLDER_MODE }).catch((error: unknown) => {
    throw explainFileError(error instanceof Error && 'code' in error && error.code === 'EEXIST' ? Object.assign(error, { code: 'ENOTDIR' }) : error, dir)
  })
  if (first === undefined) return
  for (let made = dir; ; made = dirname(made)) {
    await syncFolder(dirname(made))
    if (made === first) return
  }
}

async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
