import { createGzip } from 'node:zlib'

/** What an object's lines become on their way. Whoever makes one owes an `end` or a `close`. */
export interface Encoder {
  /** Resolves with what has come out so far. */
  write(lines: Uint8Array): Promise<readonly Uint8Array[]>
  /** Resolves with the rest. */
  end(): Promise<readonly Uint8Array[]>
  close(): void
}

export function createEncoder(gzip: boolean): Encoder {
  return gzip ? gzipEncoder() : { write: async (lines) => [lines], end: async () => [], close: () => undefined }
}

/** One stream of gzip, for not every reader takes several in a row. */
function gzipEncoder(): Encoder {
  const stream = createGzip()
  let out: Buffer[] = []
  const failed = Promise.withResolvers<never>()
  const ended = Promise.withResolvers<null>()
  failed.promise.catch(() => undefined)
  stream.on('data', (bytes: Buffer) => out.push(bytes))
  stream.on('end', () => ended.resolve(null))
  stream.on('error', failed.reject)
  stream.on('close', () => failed.reject(new Error('the object was given up')))
  const taken = (): readonly Uint8Array[] => out.splice(0)
  return {
    async write(lines) {
      const written = Promise.withResolvers<null>()
      stream.write(lines, () => written.resolve(null))
      await Promise.race([failed.promise, written.promise])
      return taken()
    },
    async end() {
      stream.end()
      await Promise.race([failed.promise, ended.promise])
      return taken()
    },
    close: () => {
      out = []
      stream.destroy()
    },
  }
}
