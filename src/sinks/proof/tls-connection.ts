import net from 'node:net'
import tls from 'node:tls'
import type { Logger } from 'pino'
import type { Clock } from '../../pipeline/clock.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import type { TlsConfig } from './config.ts'
import type { Connect, PeerWatcher } from './connection.ts'
import { readCredentials } from './credentials.ts'
import { noConnection } from './network-errors.ts'
import { afterArrivals, opened, socketTo, type Address, type Opening } from './opening.ts'
import { endedInHandshake, explainTlsError } from './tls-errors.ts'
import { RecordReader, RecordTap } from './tls-records.ts'

export type TlsTarget = Address & TlsConfig

/** TLS 1.2 or later, verified by the authorities of the configuration alone where it names some; the files are read anew for every connection. */
export function connectTls(target: TlsTarget, clock: Clock): Connect {
  return async (watcher, signal) => {
    const context = await readCredentials(target)
    signal.throwIfAborted()
    return opened(new TlsConnection(target, context, watcher), clock, signal)
  }
}

/** Logs what was switched off; a maker of a sink owes the call. */
export function warnOfLaxTls({ address, chain, verifyHostname, allowWeakCertificates }: TlsTarget, log: Logger): void {
  const signer = chain ?? 'an authority that this machine trusts'
  if (!verifyHostname) log.warn({ code: 'WeakTls' }, `verify_hostname is off: any certificate that ${signer} signs is taken for ${address}`)
  if (allowWeakCertificates) log.warn({ code: 'WeakTls' }, 'allow_weak_certificates is on: SHA-1 signatures and short keys are accepted')
}

/**
 * TLS over a tap over a TCP socket.
 *
 *   opening ──secureConnect──▶ open ──both sockets closed──▶ closed
 *      └──────any error, whenOpen rejects──────────▶ closed, and the watcher hears nothing
 */
class TlsConnection implements Opening {
  readonly whenOpen: Promise<unknown>
  readonly whenClosed: Promise<unknown>
  readonly #target: TlsTarget
  readonly #watcher: PeerWatcher
  readonly #tcp: net.Socket
  readonly #tap: RecordTap
  readonly #tls: tls.TLSSocket
  readonly #records = new RecordReader()
  readonly #opening = Promise.withResolvers<null>()
  readonly #closing = Promise.withResolvers<null>()
  #open = false
  #failed = false
  #protocol: string | null = null
  #tcpConnected = false
  #tcpEnded = false
  #peerEnding = false
  #tlsEnded = false
  #tcpClosed = false
  #tlsClosed = false

  constructor(target: TlsTarget, context: tls.SecureContext, watcher: PeerWatcher) {
    this.#target = target
    this.#watcher = watcher
    this.whenOpen = this.#opening.promise
    this.whenClosed = this.#closing.promise
    const { address } = target
    this.#tcp = net.connect(socketTo(target))
    this.#tap = new RecordTap(this.#tcp, this.#records, () => this.#arrived())
    this.#tls = tls.connect({
      socket: this.#tap,
      host: address,
      secureContext: context,
      ...(net.isIP(address) === 0 && { servername: address }),
      ...(!target.verifyHostname && { checkServerIdentity: () => undefined }),
    })
    this.#tcp.on('connect', () => (this.#tcpConnected = true))
    this.#tcp.on('end', () => this.#tcpEnd())
    this.#tcp.on('error', (error: Error) => this.#fail(error))
    this.#tcp.on('close', () => {
      this.#tcpClosed = true
      // TLS cannot go on, and does not always notice by itself.
      this.#tls.destroy()
      this.#tap.destroy()
      this.#closed()
    })
    this.#tap.on('error', (error: Error) => this.#fail(error))
    this.#tls.on('secureConnect', () => {
      this.#open = true
      this.#protocol = this.#tls.getProtocol()
      this.#opening.resolve(null)
    })
    this.#tls.on('data', (chunk: Buffer) => this.#watcher.peerSent(chunk.length))
    this.#tls.on('end', () => this.#tlsEnd())
    this.#tls.on('error', (error: Error) => this.#fail(error))
    this.#tls.on('close', () => {
      this.#tlsClosed = true
      if (!this.#tlsEnded) this.#tcp.destroy()
      this.#closed()
    })
  }

  get bytesFlushed(): number {
    return this.#tap.bytesFlushed
  }

  write(bytes: Uint8Array, flushed: () => void): void {
    this.#tls.write(bytes, (error) => {
      if (!error) flushed()
    })
  }

  end(ended: () => void): void {
    this.#tls.end(ended)
  }

  afterArrivals(callback: () => void): void {
    afterArrivals(callback)
  }

  destroy(): void {
    this.#tls.destroy()
    this.#tap.destroy()
    this.#tcp.destroy()
  }

  tooLate(seconds: number): RetryableError {
    if (!this.#tcpConnected) return noConnection(this.#target, seconds)
    const { address, port } = this.#target
    return new RetryableError(`${address}:${port} accepted the connection but did not finish the TLS handshake within ${seconds} s`, { code: 'TlsHandshakeEnded' })
  }

  #arrived(): void {
    if (this.#open && this.#records.lastIsAlert(this.#protocol)) this.#ending()
  }

  #tcpEnd(): void {
    this.#tcpEnded = true
    if (this.#open) this.#ending()
  }

  #ending(): void {
    if (!this.#peerEnding) this.#watcher.peerEnding()
    this.#peerEnding = true
  }

  #tlsEnd(): void {
    this.#tlsEnded = true
    if (this.#open) this.#watcher.peerEnded()
  }

  #fail(error: Error): void {
    const first = !this.#failed
    this.#failed = true
    if (!first) return
    const stage = this.#open ? 'open' : this.#tcpConnected ? 'handshake' : 'connecting'
    const explained = explainTlsError(error, this.#target, stage)
    if (this.#open) this.#watcher.failed(explained)
    else this.#opening.reject(explained)
  }

  #closed(): void {
    if (!this.#tcpClosed || !this.#tlsClosed) return
    this.#closing.resolve(null)
    if (!this.#open) {
      this.#opening.reject(endedInHandshake(this.#target))
      return
    }
    const orderly = !this.#failed && this.#tcpEnded && this.#tlsEnded && this.#records.whole
    this.#watcher.closed(orderly ? { closeNotify: this.#records.lastIsAlert(this.#protocol) } : null)
  }
}
