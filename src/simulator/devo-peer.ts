import type { Socket } from 'node:net'

export interface DevoPeerEvents {
  data(chunk: Buffer): void
  /** The client has ended its side, behind all its data. */
  ended(): void
  closed(): void
}

/** The client as one connection of a receiver sees it: sockets, or a simulation's own link. */
export interface DevoPeer {
  /** Called once, before anything else. */
  watch(events: DevoPeerEvents): void
  /** Neither data nor the client's end is reported until `resume`. */
  pause(): void
  resume(): void
  /** Ends the receiver's side; what the client still sends is taken and thrown away. */
  end(how: 'close_notify' | 'fin' | 'reset'): void
}

/** It holds both sockets: a FIN without close_notify and a reset need the TCP one under the TLS one. Without TLS both are the same. */
export class SocketPeer implements DevoPeer {
  readonly #tls: Socket
  readonly #tcp: Socket
  #clientEnded = false
  #finSent = false

  constructor(tls: Socket, tcp: Socket) {
    this.#tls = tls
    this.#tcp = tcp
  }

  watch(events: DevoPeerEvents): void {
    this.#tls.on('error', () => this.#tcp.destroy())
    this.#tls.on('data', (chunk: Buffer) => events.data(chunk))
    this.#tls.on('end', () => {
      const wasFinSent = this.#finSent
      this.#clientEnded = true
      events.ended()
      if (wasFinSent) this.#closeAfterFin()
    })
    this.#tls.on('close', () => events.closed())
  }

  pause(): void {
    this.#tls.pause()
  }

  resume(): void {
    this.#tls.resume()
  }

  end(how: 'close_notify' | 'fin' | 'reset'): void {
    if (how === 'reset') {
      this.#tcp.resetAndDestroy()
      return
    }
    if (how === 'close_notify') {
      // Node loses it where a write is still under way: for one turn of the loop after any, that of the session tickets too.
      setImmediate(() => this.#tls.end())
    } else {
      this.#finSent = true
      this.#tcp.end(() => this.#closeAfterFin())
    }
    // Read on, so that the client's end is seen; nobody receives what comes.
    this.#tls.resume()
  }

  /** Under a TCP end of our own Node closes nothing by itself. */
  #closeAfterFin(): void {
    if (this.#finSent && this.#clientEnded) this.#tcp.destroySoon()
  }
}
