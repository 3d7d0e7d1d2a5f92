import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { gunzipSync } from 'node:zlib'
import type { Issued } from '../../../src/simulator/certificates.ts'
import { HttpsEndpoint } from '../https-endpoint.ts'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  /** As it was sent, and decompressed. */
  readonly raw: Buffer
  readonly body: string
}

export interface Told {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** Answers one request; what it keeps, it keeps at once. `Trouble` takes its place. */
export type Api = (asked: Asked) => Told

/** `dies`: reads the request and then resets. `stalls`: never answers. `cuts`: ends in the middle of the answer. */
export type Trouble = 'dies' | 'stalls' | 'cuts' | Told | ((asked: Asked) => Told | null)

export interface DestinationOptions {
  readonly certificate: Issued
  /** Clients must present a certificate of this authority. */
  readonly clientAuthority?: string
  /** Larger requests get 413 before they are read. */
  readonly maxBodyBytes?: number
}

/** Around one of the APIs below. */
export class Destination extends HttpsEndpoint {
  /** What happens in the place of the API; null: nothing does. A function may leave single requests to the API. */
  trouble: Trouble | null = null
  readonly asked: Asked[] = []
  readonly #api: Api
  readonly #options: DestinationOptions

  constructor(api: Api, options: DestinationOptions) {
    const { certificate, clientAuthority } = options
    super({
      cert: certificate.chainPem, key: certificate.keyPem,
      ...(clientAuthority !== undefined && { ca: clientAuthority, requestCert: true, rejectUnauthorized: true }),
    }, (request, response) => {
      const pieces: Buffer[] = []
      if (Number(request.headers['content-length']) > (options.maxBodyBytes ?? Infinity)) {
        this.#note(request, Buffer.alloc(0))
        response.writeHead(413, { connection: 'close' }).end('too large')
        request.resume()
        return
      }
      request.on('data', (piece: Buffer) => pieces.push(piece))
      request.on('error', () => undefined)
      request.on('end', () => this.#answer(this.#note(request, Buffer.concat(pieces)), request.socket, response))
    })
    this.#api = api
    this.#options = options
  }

  /** Requests that carried events. */
  get withEvents(): number {
    return this.asked.filter(({ body, path }) => body.includes('{') && !path.endsWith('/ack')).length
  }

  #note({ method = '', url = '', headers }: IncomingMessage, raw: Buffer): Asked {
    const { pathname, searchParams } = new URL(url, this.origin)
    const body = headers['content-encoding'] === 'gzip' ? gunzipSync(raw).toString() : raw.toString()
    const asked: Asked = { method, path: pathname, query: searchParams, headers, raw, body }
    this.asked.push(asked)
    return asked
  }

  #answer(asked: Asked, socket: Socket, response: ServerResponse): void {
    const { trouble } = this
    if (trouble === 'stalls') return
    if (trouble === 'dies') {
      socket.destroy()
      return
    }
    if (trouble === 'cuts') {
      response.writeHead(200, { 'content-length': '1000' })
      response.write('{"code":0,"errors":false', () => socket.destroy())
      return
    }
    const told = (typeof trouble === 'function' ? trouble(asked) : trouble) ?? this.#api(asked)
    const body = told.body === undefined ? '' : typeof told.body === 'string' ? told.body : JSON.stringify(told.body)
    response.writeHead(told.status, { ...told.headers, ...(this.#options.maxBodyBytes === undefined ? {} : { connection: 'close' }) }).end(body)
  }
}
