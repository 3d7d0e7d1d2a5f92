import type { FileHandle } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { crc32, createDeflateRaw, createInflateRaw } from 'node:zlib'

const EXTRA = Buffer.from('tap-collector')
/**
 * What every member begins with: a gzip header with an extra field (id `TC`), which all readers pass over. So the last member of a file is
 * found from its end, however long the file is: nothing else in it has these bytes.
 */
const HEADER = Buffer.concat([
  Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, EXTRA.length + 4, 0, 0x54, 0x43, EXTRA.length, 0]),
  EXTRA,
])
/** Checksum and length of what was compressed. */
const TRAILER_BYTES = 8
const WINDOW_BYTES = 64 * 1024
const LENGTHS = 2 ** 32

/** One gzip member in the making; its user writes what comes out, in that order. */
export class GzipMember {
  readonly #deflate = createDeflateRaw()
  readonly #out: Buffer[] = [HEADER]
  #crc = 0
  #length = 0

  constructor() {
    this.#deflate.on('data', (chunk: Buffer) => this.#out.push(chunk))
    // Told by the callbacks.
    this.#deflate.on('error', () => undefined)
  }

  /** Gives what has come out so far. */
  async add(bytes: Buffer): Promise<Buffer> {
    this.#crc = crc32(bytes, this.#crc)
    this.#length = (this.#length + bytes.length) % LENGTHS
    await new Promise<void>((resolve, reject) => this.#deflate.write(bytes, (error) => (error ? reject(error) : resolve())))
    return this.#taken()
  }

  /** Gives the rest of it. */
  async end(): Promise<Buffer> {
    await new Promise<void>((resolve, reject) => this.#deflate.once('error', reject).once('end', resolve).end())
    const trailer = Buffer.alloc(TRAILER_BYTES)
    trailer.writeUInt32LE(this.#crc)
    trailer.writeUInt32LE(this.#length, 4)
    this.#out.push(trailer)
    return this.#taken()
  }

  destroy(): void {
    this.#deflate.destroy()
  }

  #taken(): Buffer {
    return Buffer.concat(this.#out.splice(0))
  }
}

/** How many bytes of a file are whole members; null where it holds something else. Reads little more than the last member. */
export async function wholeMembers(handle: FileHandle, size: number): Promise<number | null> {
  const start = await lastHeader(handle, size)
  if (start === null) return (await isTornHeader(handle, 0, size)) ? 0 : null
  const end = await memberEnd(handle, start, size)
  if (end === null) return start
  return (await isTornHeader(handle, end, size)) ? end : null
}

async function lastHeader(handle: FileHandle, size: number): Promise<number | null> {
  const window = Buffer.alloc(WINDOW_BYTES)
  for (let end = size; end >= HEADER.length; end -= WINDOW_BYTES - HEADER.length + 1) {
    const start = Math.max(0, end - WINDOW_BYTES)
    const { bytesRead } = await handle.read(window, 0, end - start, start)
    const found = window.subarray(0, bytesRead).lastIndexOf(HEADER)
    if (found !== -1) return start + found
  }
  return null
}

/** What stands from `start` on is nothing, or the beginning of a member that was cut off in its header. */
async function isTornHeader(handle: FileHandle, start: number, size: number): Promise<boolean> {
  if (size - start >= HEADER.length) return false
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEADER.length), 0, size - start, start)
  return HEADER.subarray(0, bytesRead).equals(buffer.subarray(0, bytesRead))
}

/** Behind the member that begins there; null where it is torn or damaged. */
async function memberEnd(handle: FileHandle, start: number, size: number): Promise<number | null> {
  const inflate = createInflateRaw()
  let crc = 0
  let length = 0
  try {
    const compressed = handle.createReadStream({ start: start + HEADER.length, autoClose: false })
    await pipeline(compressed, inflate, async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) {
        crc = crc32(chunk, crc)
        length = (length + chunk.length) % LENGTHS
      }
    })
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) return null
    throw error
  }
  const trailerAt = start + HEADER.length + inflate.bytesWritten
  if (trailerAt + TRAILER_BYTES > size) return null
  const { buffer } = await handle.read(Buffer.alloc(TRAILER_BYTES), 0, TRAILER_BYTES, trailerAt)
  return buffer.readUInt32LE() === crc && buffer.readUInt32LE(4) === length ? trailerAt + TRAILER_BYTES : null
}
