import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import https, { type ServerOptions } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'

/** A real HTTPS server on loopback, whose connections can be counted and cut. */
export class HttpsEndpoint {
  readonly #sockets = new Set<Socket>()
  readonly #server: https.Server
  #port = 0

  constructor(options: ServerOptions, answer: (request: IncomingMessage, response: ServerResponse) => void) {
    this.#server = https.createServer(options, answer)
    this.#server.on('connection', (socket: Socket) => this.note(socket))
    this.#server.on('tlsClientError', () => undefined)
  }

  get origin(): string {
    return `https://localhost:${this.#port}`
  }

  get openConnections(): number {
    return this.#sockets.size
  }

  async start(): Promise<void> {
    this.#server.listen(this.#port, 'localhost')
    await once(this.#server, 'listening')
    // a server that listens on TCP has such an address
    this.#port = (this.#server.address() as AddressInfo).port
  }

  disconnectAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Nobody listens; the port stays the same for the next start. */
  async stop(): Promise<void> {
    this.disconnectAll()
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
  }

  /** Counts as one of its connections. */
  protected note(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => this.#sockets.delete(socket))
  }
}
