import { once } from 'node:events'
import type net from 'node:net'
import type { Socket } from 'node:net'
import { Watchers } from './watchers.ts'

export interface LoopbackServerOptions {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 0: any free one. */
  readonly port?: number
}

/** What a simulated server's port can do, whatever it speaks. Who extends it says what it listens with, and calls `watch` once that is made. */
export abstract class LoopbackServer {
  protected abstract readonly server: net.Server
  protected readonly watchers = new Watchers()
  /** What a message calls it. */
  readonly #name: string
  readonly #options: LoopbackServerOptions
  /** TCP sockets by peer: a reset needs the one below TLS. */
  readonly #sockets = new Map<string, Socket>()
  #isStopped = false
  #starting: Promise<unknown> = Promise.resolve()
  #port = 0

  constructor(name: string, options: LoopbackServerOptions) {
    this.#name = name
    this.#options = options
  }

  /** Listens; an error of `listen` (port in use) is thrown. Returns this. */
  async start(): Promise<this> {
    await this.#listen(this.#options.port ?? 0)
    return this
  }

  get host(): string {
    return this.#options.host ?? '127.0.0.1'
  }

  /** 0 before the start. Stays the same while connections are refused. */
  get port(): number {
    return this.#port
  }

  /** Closes the listening socket (and idle connections of HTTP): new ones get ECONNREFUSED, what has begun goes on. */
  refuseConnections(): void {
    if (this.server.listening) this.server.close()
  }

  /** Listens again, on the same port. */
  async acceptConnections(): Promise<void> {
    if (!this.server.listening) await this.#listen(this.#port)
  }

  /** Resolves as soon as the condition holds; it is asked after everything that happens here. Rejects when the server is stopped first. */
  until(condition: () => boolean): Promise<void> {
    return this.watchers.until(condition)
  }

  /** Destroys everything. Safe at any time, also twice. */
  async stop(): Promise<void> {
    this.#isStopped = true
    // While it looks its host up, a server does not yet know that it will listen.
    await Promise.allSettled([this.#starting])
    const closing = [...this.#sockets.values(), ...(this.server.listening ? [this.server] : [])]
    const closed = closing.map(async (open) => new Promise((resolve) => open.once('close', resolve)))
    this.refuseConnections()
    this.destroySockets()
    this.watchers.end(new Error(`the ${this.#name} was stopped`))
    await Promise.all(closed)
  }

  protected watch(): void {
    this.server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket)
      this.#sockets.set(peer, socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        if (this.#sockets.get(peer) === socket) this.#sockets.delete(peer)
        this.watchers.look()
      })
    })
  }

  /** The TCP socket below a connection; undefined where it is closed. */
  protected tcpOf(socket: Socket): Socket | undefined {
    return this.#sockets.get(peerOf(socket))
  }

  protected destroySockets(): void {
    for (const socket of this.#sockets.values()) socket.destroy()
  }

  async #listen(port: number): Promise<void> {
    if (this.#isStopped) throw new Error(`the ${this.#name} was stopped`)
    this.#starting = once(this.server, 'listening')
    this.server.listen(port, this.host)
    await this.#starting
    const address = this.server.address()
    if (address !== null && typeof address === 'object') this.#port = address.port
  }
}

function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? ''}`
}
