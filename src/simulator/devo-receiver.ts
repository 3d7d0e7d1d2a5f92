import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import { type Clock, systemClock } from '../pipeline/clock.ts'
import type { Issued } from './certificates.ts'
import { type DevoBehaviour, behaviours } from './devo-behaviours.ts'
import { DevoConnection } from './devo-connection.ts'
import { SocketPeer } from './devo-peer.ts'
import { DevoTally, type TallyOptions } from './devo-tally.ts'
import { LoopbackServer, type LoopbackServerOptions } from './loopback-server.ts'

export interface DevoReceiverOptions extends TallyOptions, LoopbackServerOptions {
  /** The server's certificate and key. Null: plain TCP, as a Devo relay takes it. */
  readonly certificate: Pick<Issued, 'chainPem' | 'keyPem'> | null
  /** PEM of the authority whose client certificates are accepted; of no use without TLS. */
  readonly clientAuthority?: string
  readonly minVersion?: tls.SecureVersion
  readonly maxVersion?: tls.SecureVersion
  /** Of every connection, or chosen for each: the first one has number 1. Default: healthy. */
  readonly behaviour?: DevoBehaviour | ((connection: number) => DevoBehaviour)
  readonly clock?: Clock
}

const HANDSHAKE_TIMEOUT_MS = 10_000

/**
 * Devo's ingestion endpoint on loopback: TLS with a required client certificate (or a relay's plain TCP), lines that end with LF, no acknowledgement, and a clean
 * end of its own side after the client's. Only lines that were read whole count. It can also be made to fail in every way that was met
 * (see `behaviours`), for all connections from now on or for the next ones, while it runs.
 */
export class DevoReceiver extends LoopbackServer {
  /** For connections from now on. */
  behaviour: DevoBehaviour | ((connection: number) => DevoBehaviour)
  /** What was received, of all connections. */
  readonly tally: DevoTally
  /** Lines that were read and thrown away, as a killed receiver does. */
  discardedEvents = 0
  /** Bytes of lines that had no end when their connection closed. */
  unfinishedBytes = 0
  readonly connections = {
    /** TCP connections. */
    accepted: 0,
    /** Handshakes that ended well, with an accepted client certificate; without TLS all. */
    secured: 0,
    /** Handshakes that failed, and clients without an accepted certificate. */
    refused: 0,
    /** Those that sent at least one byte. */
    withData: 0,
  }
  readonly #options: DevoReceiverOptions
  readonly #clock: Clock
  protected readonly server: net.Server
  readonly #open = new Map<DevoConnection, number>()
  readonly #next: DevoBehaviour[] = []
  readonly #nextWithData: DevoBehaviour[] = []

  constructor(options: DevoReceiverOptions) {
    super('receiver', options)
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.behaviour = options.behaviour ?? behaviours.healthy()
    this.tally = new DevoTally(options)
    const { certificate, clientAuthority } = options
    // Half-open: it is the behaviour that ends our side.
    this.server = certificate === null
      ? net.createServer({ allowHalfOpen: true })
      : tls.createServer({
        ...this.#context(certificate, clientAuthority),
        requestCert: true, rejectUnauthorized: true, allowHalfOpen: true, handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      })
    this.watch()
    this.server.on('connection', (socket: Socket) => {
      this.connections.accepted += 1
      this.watchers.look()
      if (certificate === null) this.#serve(socket)
    })
    this.server.on('secureConnection', (socket: Socket) => this.#serve(socket))
    this.server.on('tlsClientError', () => {
      this.connections.refused += 1
      this.watchers.look()
    })
  }

  get events(): number {
    return this.tally.events
  }

  get openConnections(): number {
    return this.#open.size
  }

  /** Their numbers: the first connection that was secured has 1. */
  get openNumbers(): readonly number[] {
    return [...this.#open.values()]
  }

  /** For the next connections, one each; they come before `behaviour`. */
  next(...list: readonly DevoBehaviour[]): void {
    this.#next.push(...list)
  }

  /** For the next connections that send anything, one each from their first byte on; connections without data (probes) do not use them up. */
  nextWithData(...list: readonly DevoBehaviour[]): void {
    this.#nextWithData.push(...list)
  }

  /** Ends all open connections now. */
  disconnectAll(how: 'close_notify' | 'fin' | 'reset'): void {
    for (const connection of this.#open.keys()) connection.end(how)
  }

  /** Another server certificate (and client authority) from the next connection on. */
  useCertificate(certificate: Pick<Issued, 'chainPem' | 'keyPem'>, clientAuthority = this.#options.clientAuthority): void {
    if (this.server instanceof tls.Server) this.server.setSecureContext(this.#context(certificate, clientAuthority))
  }

  #context(certificate: Pick<Issued, 'chainPem' | 'keyPem'>, clientAuthority?: string): tls.SecureContextOptions {
    const { minVersion = 'TLSv1.2', maxVersion = 'TLSv1.3' } = this.#options
    return { key: certificate.keyPem, cert: certificate.chainPem, ...(clientAuthority !== undefined && { ca: clientAuthority }), minVersion, maxVersion }
  }

  /** A connection behind its handshake. */
  #serve(socket: Socket): void {
    const tcp = this.tcpOf(socket)
    if (tcp === undefined) {
      socket.destroy()
      return
    }
    this.connections.secured += 1
    const number = this.connections.secured
    const behaviour = this.#next.shift() ?? (typeof this.behaviour === 'function' ? this.behaviour(number) : this.behaviour)
    const connection = new DevoConnection(new SocketPeer(socket, tcp), behaviour, this.#clock, {
      received: (line) => this.tally.add(line, number),
      discarded: (lines) => (this.discardedEvents += lines),
      began: () => {
        this.connections.withData += 1
        return this.#nextWithData.shift() ?? null
      },
      changed: () => this.watchers.look(),
    })
    this.#open.set(connection, number)
    socket.on('close', () => {
      this.#open.delete(connection)
      this.unfinishedBytes += connection.unfinishedBytes
      this.watchers.look()
    })
    this.watchers.look()
  }
}
