import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { writeInSlices } from './slices.ts'

const HEADER_BYTES = 5
const ALERT = 21
const APPLICATION_DATA = 23
/** An alert (2 bytes), its real type (1) and the tag (16) of every cipher that TLS 1.3 has by default. No other record is as short. */
const ENCRYPTED_ALERT_BYTES = 19

/**
 * Reads the headers of TLS records, which are in clear even where their content is not. It tells whether the last record was an alert: a
 * close_notify, where TLS itself reports no error. Node shows only an 'end', with or without one.
 */
export class RecordReader {
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerBytes = 0
  #bodyLeft = 0

  /** True between two records; false in the middle of one. */
  get whole(): boolean {
    return this.#headerBytes === 0 && this.#bodyLeft === 0
  }

  /** The last record whose header was read is an alert. Under TLS 1.3 (RFC 8446, 5.2) alerts look like data, but for their length. */
  lastIsAlert(protocol: string | null): boolean {
    const type = this.#header[0]
    if (protocol !== 'TLSv1.3') return type === ALERT
    return type === APPLICATION_DATA && this.#header.readUInt16BE(3) === ENCRYPTED_ALERT_BYTES
  }

  read(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#bodyLeft > 0) {
        const skipped = Math.min(this.#bodyLeft, chunk.length - at)
        this.#bodyLeft -= skipped
        at += skipped
        continue
      }
      const taken = chunk.subarray(at, at + HEADER_BYTES - this.#headerBytes)
      this.#header.set(taken, this.#headerBytes)
      this.#headerBytes += taken.length
      at += taken.length
      if (this.#headerBytes < HEADER_BYTES) return
      this.#headerBytes = 0
      this.#bodyLeft = this.#header.readUInt16BE(3)
    }
  }
}

/**
 * Stands between TLS and the TCP socket, shows `reader` what comes in, and passes everything on. Measured, it costs 0.3 µs for an event of
 * 2 KB beside TLS on the bare socket (0.6 µs): writes stay as large as TLS makes them. It gives something back besides the headers: the
 * TCP socket outlives TLS, so that a reset behind a close_notify (the peer left bytes of ours unread) is seen, which Node otherwise hides.
 * It leaves errors and the closing of the TCP socket to its owner.
 */
export class RecordTap extends Duplex {
  /** Bytes that the kernel has taken. */
  bytesFlushed = 0
  readonly #tcp: Socket

  constructor(tcp: Socket, reader: RecordReader, arrived: () => void) {
    super({ allowHalfOpen: true })
    this.#tcp = tcp
    tcp.on('data', (chunk: Buffer) => {
      reader.read(chunk)
      arrived()
      if (!this.destroyed && !this.push(chunk)) tcp.pause()
    })
    tcp.on('end', () => {
      if (!this.destroyed) this.push(null)
    })
  }

  override _read(): void {
    this.#tcp.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    writeInSlices(this.#tcp, chunk, (bytes) => (this.bytesFlushed += bytes), callback)
  }

  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], callback: (error?: Error | null) => void): void {
    const last = chunks.pop()
    if (last === undefined) {
      callback()
      return
    }
    this.#tcp.cork()
    for (const { chunk } of chunks) this.#tcp.write(chunk, (error) => (this.bytesFlushed += error ? 0 : chunk.length))
    this._write(last.chunk, last.encoding, callback)
    this.#tcp.uncork()
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#tcp.end(callback)
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // What the peer still sends is no longer for TLS, but its end is waited for.
    this.#tcp.resume()
    callback(error)
  }
}
