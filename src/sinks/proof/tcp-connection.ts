import net from 'node:net'
import { Writable } from 'node:stream'
import type { Clock } from '../../pipeline/clock.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import type { Connect, PeerWatcher } from './connection.ts'
import { explainNetworkError, noConnection } from './network-errors.ts'
import { afterArrivals, opened, socketTo, type Address, type Opening } from './opening.ts'
import { writeInSlices } from './slices.ts'

/** Plain TCP: nobody proves who answers, and an end may come from a dying machine as well. For peers in the user's own network. */
export function connectTcp(target: Address, clock: Clock): Connect {
  return async (watcher, signal) => {
    signal.throwIfAborted()
    return opened(new TcpConnection(target, watcher), clock, signal)
  }
}

/**
 *   opening ──connect──▶ open ──closed on both sides──▶ closed
 *      └──────any error, whenOpen rejects──────────▶ closed, and the watcher hears nothing
 */
class TcpConnection implements Opening {
  bytesFlushed = 0
  readonly whenOpen: Promise<unknown>
  readonly whenClosed: Promise<unknown>
  readonly #target: Address
  readonly #watcher: PeerWatcher
  readonly #socket: net.Socket
  /** Keeps the slices of one write together, and our end behind all of them. */
  readonly #writer: Writable
  readonly #opening = Promise.withResolvers<null>()
  readonly #closing = Promise.withResolvers<null>()
  #open = false
  #failed = false
  #peerEnded = false

  constructor(target: Address, watcher: PeerWatcher) {
    this.#target = target
    this.#watcher = watcher
    this.whenOpen = this.#opening.promise
    this.whenClosed = this.#closing.promise
    const socket = net.connect(socketTo(target))
    this.#socket = socket
    this.#writer = new Writable({
      write: (chunk: Buffer, _encoding, done) => writeInSlices(socket, chunk, (bytes) => (this.bytesFlushed += bytes), done),
      final: (done) => socket.end(done),
    })
    // The socket tells of it too.
    this.#writer.on('error', () => undefined)
    socket.on('connect', () => {
      this.#open = true
      this.#opening.resolve(null)
    })
    socket.on('data', (chunk: Buffer) => this.#watcher.peerSent(chunk.length))
    socket.on('end', () => {
      this.#peerEnded = true
      this.#watcher.peerEnding()
      this.#watcher.peerEnded()
    })
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => {
      this.#writer.destroy()
      this.#closing.resolve(null)
      if (this.#open) this.#watcher.closed(this.#peerEnded && !this.#failed ? { closeNotify: false } : null)
    })
  }

  write(bytes: Uint8Array, flushed: () => void): void {
    this.#writer.write(bytes, (error) => {
      if (!error) flushed()
    })
  }

  end(ended: () => void): void {
    this.#writer.once('finish', ended)
    this.#writer.end()
  }

  afterArrivals(callback: () => void): void {
    afterArrivals(callback)
  }

  destroy(): void {
    this.#writer.destroy()
    this.#socket.destroy()
  }

  tooLate(seconds: number): RetryableError {
    return noConnection(this.#target, seconds)
  }

  #fail(error: Error): void {
    this.#failed = true
    const { address, port } = this.#target
    const explained = explainNetworkError(error, this.#target) ?? new RetryableError(`${address}:${port}: the connection failed`, { code: 'PeerUnreachable', cause: error })
    if (this.#open) this.#watcher.failed(explained)
    else this.#opening.reject(explained)
  }
}
