import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip, gzipSync } from 'node:zlib'
import { systemClock } from '../pipeline/clock.ts'
import type { Clock } from '../pipeline/clock.ts'
import type { TapAnswer, TapModel } from './tap-model.ts'
import { BrokenTransport, carry } from './tap-transport.ts'
import { Watchers } from './watchers.ts'

export interface TapServerOptions {
  readonly model: TapModel
  /** The server's certificate chain and key in PEM; left out: plain HTTP. */
  readonly certificate?: { readonly chainPem: string; readonly keyPem: string }
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 0: any free one. */
  readonly port?: number
  /** Whether an answer is compressed for a client that accepts it. Default true. */
  readonly gzip?: boolean
  /** How a body's length is told. Default `auto`: in advance for a small one, by chunks for another. `length` makes or compresses it twice. */
  readonly framing?: 'auto' | 'length' | 'chunked'
  /** Times drips. */
  readonly clock?: Clock
}

const SMALL_BODY_BYTES = 64 * 1024

/** The TAP API over real HTTP or HTTPS. Bodies are streamed: an event is made when the socket has room for it. */
export class TapServer {
  readonly model: TapModel
  /** Bytes of bodies handed to sockets, before compression. */
  bodyBytes = 0
  readonly #options: TapServerOptions
  readonly #server: http.Server
  /** TCP sockets by peer: a reset needs the one below TLS. */
  readonly #sockets = new Map<string, Socket>()
  readonly #watchers = new Watchers()
  #answering = 0
  #isStopped = false
  #starting: Promise<unknown> = Promise.resolve()
  #port = 0

  constructor(options: TapServerOptions) {
    this.model = options.model
    this.#options = options
    const { certificate } = options
    const listener = (request: http.IncomingMessage, response: http.ServerResponse) => {
      this.#answer(request, response).catch(() => response.destroy())
    }
    this.#server =
      certificate === undefined
        ? http.createServer(listener)
        : https.createServer({ cert: certificate.chainPem, key: certificate.keyPem, minVersion: 'TLSv1.2' }, listener)
    this.#server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket)
      this.#sockets.set(peer, socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        if (this.#sockets.get(peer) === socket) this.#sockets.delete(peer)
        this.#watchers.look()
      })
    })
  }

  /** Listens; an error of `listen` (port in use) is thrown. Returns this. */
  async start(): Promise<this> {
    await this.#listen(this.#options.port ?? 0)
    return this
  }

  /** 0 before the start. Stays the same while connections are refused. */
  get port(): number {
    return this.#port
  }

  /** What belongs into `base_url`. */
  get baseUrl(): string {
    return `${this.#options.certificate === undefined ? 'http' : 'https'}://${this.#options.host ?? '127.0.0.1'}:${this.#port}`
  }

  /** Answers that have begun and not ended. */
  get answering(): number {
    return this.#answering
  }

  /** Closes the listening socket and idle connections: new ones get ECONNREFUSED, answers that have begun go on. */
  refuseConnections(): void {
    if (this.#server.listening) this.#server.close()
  }

  /** Listens again, on the same port. */
  async acceptConnections(): Promise<void> {
    if (!this.#server.listening) await this.#listen(this.#port)
  }

  disconnectAll(): void {
    for (const socket of this.#sockets.values()) socket.destroy()
  }

  /** Another certificate from the next connection on; for a server with TLS only. */
  useCertificate(certificate: { readonly chainPem: string; readonly keyPem: string }): void {
    if (!(this.#server instanceof https.Server)) throw new Error('this TAP server speaks plain HTTP; it has no certificate to replace')
    this.#server.setSecureContext({ cert: certificate.chainPem, key: certificate.keyPem, minVersion: 'TLSv1.2' })
  }

  /** Resolves as soon as the condition holds; it is asked after every request, answer and closed connection. Rejects when the server stops first. */
  until(condition: () => boolean): Promise<void> {
    return this.#watchers.until(condition)
  }

  /** Destroys everything. Safe at any time, also twice. */
  async stop(): Promise<void> {
    this.#isStopped = true
    // While it looks its host up, a server does not yet know that it will listen.
    await Promise.allSettled([this.#starting])
    const closing = [...this.#sockets.values(), ...(this.#server.listening ? [this.#server] : [])]
    const closed = closing.map(async (open) => new Promise((resolve) => open.once('close', resolve)))
    this.refuseConnections()
    this.disconnectAll()
    this.#watchers.end(new Error('the TAP server was stopped'))
    await Promise.all(closed)
  }

  async #listen(port: number): Promise<void> {
    if (this.#isStopped) throw new Error('the TAP server was stopped')
    this.#starting = once(this.#server, 'listening')
    this.#server.listen(port, this.#options.host ?? '127.0.0.1')
    await this.#starting
    const address = this.#server.address()
    if (address !== null && typeof address === 'object') this.#port = address.port
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    request.resume()
    const [path = '', ...query] = (request.url ?? '').split('?')
    const { authorization } = request.headers
    const answer = this.model.handle({ method: request.method ?? '', path, query: query.join('?'), authorization })
    const closed = new AbortController()
    response.on('close', () => closed.abort(new Error('the client has gone')))
    this.#answering += 1
    this.#watchers.look()
    try {
      const zipped = this.#options.gzip !== false && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '') && !isEmpty(answer.body)
      response.statusCode = answer.status
      for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value)
      if (zipped) response.setHeader('content-encoding', 'gzip')
      if (answer.transport === null) await this.#send(answer, response, zipped, closed.signal)
      else await this.#sendBroken(answer, request, response, zipped, closed.signal)
    } catch (error) {
      if (!closed.signal.aborted) throw error
    } finally {
      this.#answering -= 1
      this.#watchers.look()
    }
  }

  async #send({ status, body }: TapAnswer, response: http.ServerResponse, zipped: boolean, signal: AbortSignal): Promise<void> {
    const { framing = 'auto' } = this.#options
    const whole = framing === 'chunked' || status === 204 ? null : gather(body, framing === 'length' && zipped ? Infinity : SMALL_BODY_BYTES)
    if (whole !== null) {
      const bytes = zipped ? gzipSync(whole) : whole
      this.bodyBytes += whole.length
      response.setHeader('content-length', bytes.length)
      response.end(bytes)
      return
    }
    if (framing === 'length' && !zipped) response.setHeader('content-length', lengthOf(body))
    const source = Readable.from(this.#counted(body), { objectMode: false })
    await (zipped ? pipeline(source, createGzip({ level: 1 }), response, { signal }) : pipeline(source, response, { signal }))
  }

  *#counted(body: Iterable<Uint8Array>): Generator<Uint8Array, void, undefined> {
    for (const piece of body) {
      this.bodyBytes += piece.length
      yield piece
    }
  }

  /** Enacts a transport fault: every piece is flushed before the next, so that what was promised has really left. */
  async #sendBroken(answer: TapAnswer, request: http.IncomingMessage, response: http.ServerResponse, zipped: boolean, signal: AbortSignal): Promise<void> {
    const { transport } = answer
    if (transport?.kind === 'stall' && transport.afterBytes === null) {
      await once(response, 'close')
      return
    }
    const body = zipped ? [gzipSync(Buffer.concat([...answer.body]))] : answer.body
    if (transport?.kind === 'truncate' && transport.framing === 'close') response.removeHeader('transfer-encoding')
    if (transport?.kind === 'truncate' && transport.framing === 'length') response.setHeader('content-length', lengthOf(body))
    response.flushHeaders()
    try {
      for await (const piece of carry(body, transport, { clock: this.#options.clock ?? systemClock, signal })) {
        this.bodyBytes += piece.length
        await new Promise<void>((resolve, reject) => {
          response.write(piece, (error) => (error ? reject(error) : resolve()))
        })
      }
      response.end()
    } catch (error) {
      if (!(error instanceof BrokenTransport)) throw error
      if (error.how === 'reset') this.#sockets.get(peerOf(request.socket))?.resetAndDestroy()
      else request.socket.destroySoon()
      await once(response, 'close')
    }
  }
}

function isEmpty(body: Iterable<Uint8Array>): boolean {
  return body[Symbol.iterator]().next().done === true
}

function lengthOf(body: Iterable<Uint8Array>): number {
  let length = 0
  for (const piece of body) length += piece.length
  return length
}

/** The whole body, or null where it is larger than `limit`. */
function gather(body: Iterable<Uint8Array>, limit: number): Buffer | null {
  const pieces: Uint8Array[] = []
  let length = 0
  for (const piece of body) {
    length += piece.length
    if (length > limit) return null
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? ''}`
}
