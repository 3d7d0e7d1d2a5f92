import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip, gzipSync } from 'node:zlib'
import { systemClock } from '../pipeline/clock.ts'
import type { Clock } from '../pipeline/clock.ts'
import { LoopbackServer, type LoopbackServerOptions } from './loopback-server.ts'
import type { TapAnswer, TapModel } from './tap-model.ts'
import { BrokenTransport, carry } from './tap-transport.ts'

export interface TapServerOptions extends LoopbackServerOptions {
  readonly model: TapModel
  /** The server's certificate chain and key in PEM; left out: plain HTTP. */
  readonly certificate?: { readonly chainPem: string; readonly keyPem: string }
  /** Whether an answer is compressed for a client that accepts it. Default true. */
  readonly gzip?: boolean
  /** How a body's length is told. Default `auto`: in advance for a small one, by chunks for another. `length` makes or compresses it twice. */
  readonly framing?: 'auto' | 'length' | 'chunked'
  /** Times drips. */
  readonly clock?: Clock
}

const SMALL_BODY_BYTES = 64 * 1024

/** The TAP API over real HTTP or HTTPS. Bodies are streamed: an event is made when the socket has room for it. */
export class TapServer extends LoopbackServer {
  readonly model: TapModel
  /** Bytes of bodies handed to sockets, before compression. */
  bodyBytes = 0
  readonly #options: TapServerOptions
  protected readonly server: http.Server
  #answering = 0

  constructor(options: TapServerOptions) {
    super('TAP server', options)
    this.model = options.model
    this.#options = options
    const { certificate } = options
    const listener = (request: http.IncomingMessage, response: http.ServerResponse) => {
      this.#answer(request, response).catch(() => response.destroy())
    }
    this.server =
      certificate === undefined
        ? http.createServer(listener)
        : https.createServer({ cert: certificate.chainPem, key: certificate.keyPem, minVersion: 'TLSv1.2' }, listener)
    this.watch()
  }

  /** What belongs into `base_url`. */
  get baseUrl(): string {
    return `${this.#options.certificate === undefined ? 'http' : 'https'}://${this.host}:${this.port}`
  }

  /** Answers that have begun and not ended. */
  get answering(): number {
    return this.#answering
  }

  disconnectAll(): void {
    this.destroySockets()
  }

  /** Another certificate from the next connection on; for a server with TLS only. */
  useCertificate(certificate: { readonly chainPem: string; readonly keyPem: string }): void {
    if (!(this.server instanceof https.Server)) throw new Error('this TAP server speaks plain HTTP; it has no certificate to replace')
    this.server.setSecureContext({ cert: certificate.chainPem, key: certificate.keyPem, minVersion: 'TLSv1.2' })
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    request.resume()
    const [path = '', ...query] = (request.url ?? '').split('?')
    const { authorization } = request.headers
    const answer = this.model.handle({ method: request.method ?? '', path, query: query.join('?'), authorization })
    const closed = new AbortController()
    response.on('close', () => closed.abort(new Error('the client has gone')))
    this.#answering += 1
    this.watchers.look()
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
      this.watchers.look()
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
      if (error.how === 'reset') this.tcpOf(request.socket)?.resetAndDestroy()
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
