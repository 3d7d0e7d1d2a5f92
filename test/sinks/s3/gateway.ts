import http, { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Issued } from '../../../src/simulator/certificates.ts'
import { HttpsEndpoint } from '../https-endpoint.ts'

export interface Asked {
  readonly method: string
  /** With what stands behind the `?`. */
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export interface Told {
  readonly status: number
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string
}

/** `dies`: has it done and then resets. `stalls`: never answers. `spoils`: changes a byte on the way. */
export type Trouble = 'dies' | 'stalls' | 'spoils' | Told

/** What S3 says when it refuses. */
export function errorDocument(status: number, code: string, message = `${code} it is`, headers?: OutgoingHttpHeaders): Told {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message><RequestId>4711</RequestId></Error>`
  return { status, body, headers: { 'content-type': 'application/xml', ...headers } }
}

/** In front of a real S3, and can be made to misbehave. Its open connections are those on both its sides. */
export class Gateway extends HttpsEndpoint {
  /** What happens in the place of S3; null: nothing does. A function may leave single requests to S3. */
  trouble: Trouble | ((asked: Asked) => Trouble | null) | null = null
  readonly asked: Asked[] = []
  readonly #target: URL
  readonly #agent = new http.Agent({ keepAlive: false })

  constructor(target: string, certificate: Issued) {
    super({ cert: certificate.chainPem, key: certificate.keyPem }, (request, response) => {
      const pieces: Buffer[] = []
      request.on('data', (piece: Buffer) => pieces.push(piece))
      request.on('error', () => undefined)
      request.on('end', () => {
        const { method = '', url = '', headers } = request
        const asked = { method, path: url, headers, body: Buffer.concat(pieces) }
        this.asked.push(asked)
        this.#answer(asked, request.socket, response)
      })
    })
    this.#target = new URL(target)
  }

  /** Requests for objects. */
  get forObjects(): number {
    return this.asked.filter(({ path }) => !path.includes('.tap-collector-check')).length
  }

  #answer(asked: Asked, socket: Socket, response: ServerResponse): void {
    const trouble = typeof this.trouble === 'function' ? this.trouble(asked) : this.trouble
    if (trouble === 'stalls') return
    if (trouble !== null && typeof trouble === 'object') {
      response.writeHead(trouble.status, trouble.headers).end(trouble.body)
      return
    }
    const { method, path, headers, body } = asked
    if (trouble === 'spoils' && body.length > 0) body.writeUInt8(body.readUInt8(0) ^ 1, 0)
    const forwarded = http.request({ host: this.#target.hostname, port: this.#target.port, method, path, headers, agent: this.#agent }, (answer) => {
      if (trouble === 'dies') {
        answer.resume().once('end', () => socket.destroy())
        return
      }
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    forwarded.on('socket', (own) => this.note(own))
    forwarded.on('error', () => socket.destroy())
    forwarded.end(body)
  }
}
