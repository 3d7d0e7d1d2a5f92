import type { Clock } from '../pipeline/clock.ts'
import type { DevoBehaviour } from './devo-behaviours.ts'
import type { DevoPeer } from './devo-peer.ts'

const NEWLINE = 0x0a

export interface ConnectionEvents {
  /** A whole line without its LF, as a view. */
  received(line: Buffer): void
  /** Lines that were read and lost. */
  discarded(lines: number): void
  /** The first byte: the behaviour may be replaced. */
  began(): DevoBehaviour | null
  /** Something a waiting test may look for. */
  changed(): void
}

/**
 * One connection of a receiver, behind its handshake.
 *
 *     reading ──trigger──▶ stopped ──delayMs──▶ ended ──client's end──▶ closed
 *        └──────────────client's end──────────────▶┘
 */
export class DevoConnection {
  readonly #peer: DevoPeer
  readonly #clock: Clock
  readonly #events: ConnectionEvents
  #behaviour: DevoBehaviour
  #state: 'reading' | 'stopped' | 'ended' = 'reading'
  #began = false
  #lines = 0
  /** The start of a line whose end has not come yet. */
  #pieces: Buffer[] = []
  #timers = new Set<() => void>()

  constructor(peer: DevoPeer, behaviour: DevoBehaviour, clock: Clock, events: ConnectionEvents) {
    this.#peer = peer
    this.#behaviour = behaviour
    this.#clock = clock
    this.#events = events
    peer.watch({ data: (chunk) => this.#read(chunk), ended: () => this.#halfClosed(), closed: () => this.#cancelTimers() })
    this.#obey()
  }

  /** Bytes behind the last line end: of a line that was never whole. */
  get unfinishedBytes(): number {
    return this.#pieces.reduce((sum, piece) => sum + piece.length, 0)
  }

  /** Ends it now in the given way, whatever its behaviour. */
  end(how: DevoBehaviour['ends']): void {
    this.#state = 'ended'
    this.#cancelTimers()
    if (how === 'nothing') this.#peer.pause()
    else this.#peer.end(how)
  }

  #obey(): void {
    if (this.#behaviour.stopsAt === 'handshake') {
      if (this.#behaviour.delayMs === 0) this.#stop()
      else this.#after(this.#behaviour.delayMs, () => this.end(this.#behaviour.ends))
    }
    if (this.#behaviour.reads === 'nothing' && this.#state === 'reading') this.#peer.pause()
  }

  #read(chunk: Buffer): void {
    if (this.#state !== 'reading') return
    if (!this.#began) {
      this.#began = true
      const other = this.#events.began()
      if (other !== null) {
        this.#behaviour = other
        this.#obey()
      }
    }
    if (this.#behaviour.stopsAt === 'first byte') this.#stop()
    this.#consume(chunk)
    const { bytesPerSecond } = this.#behaviour
    if (bytesPerSecond !== null) {
      this.#peer.pause()
      this.#after((chunk.length / bytesPerSecond) * 1000, () => this.#peer.resume())
    }
    this.#events.changed()
  }

  #consume(chunk: Buffer): void {
    let start = 0
    while (this.#state === 'reading') {
      const end = chunk.indexOf(NEWLINE, start)
      if (end === -1) {
        if (start < chunk.length) this.#pieces.push(chunk.subarray(start))
        return
      }
      const piece = chunk.subarray(start, end)
      const line = this.#pieces.length === 0 ? piece : Buffer.concat([...this.#pieces, piece])
      this.#pieces = []
      start = end + 1
      this.#lines += 1
      if (this.#behaviour.reads === 'count') this.#events.received(line)
      else this.#events.discarded(1)
      const { stopsAt } = this.#behaviour
      if (typeof stopsAt === 'object' && this.#lines >= stopsAt.lines) this.#stop()
    }
  }

  /** The trigger: nothing is read from now on. */
  #stop(): void {
    this.#state = 'stopped'
    if (this.#behaviour.delayMs === 0) {
      this.end(this.#behaviour.ends)
      return
    }
    this.#peer.pause()
    this.#after(this.#behaviour.delayMs, () => this.end(this.#behaviour.ends))
  }

  #halfClosed(): void {
    this.#events.changed()
    const { stopsAt, reads, ends } = this.#behaviour
    if (this.#state === 'ended') return
    if (stopsAt === 'half-close') this.#stop()
    else if (stopsAt === 'first byte') this.end('close_notify')
    else if (typeof stopsAt === 'object') this.end(reads === 'count' ? 'close_notify' : ends)
    else if (stopsAt === 'handshake' && reads === 'count') this.end('close_notify')
    // Else a timer ends it, or nobody does.
  }

  #after(ms: number, callback: () => void): void {
    const cancel = this.#clock.after(ms, () => {
      this.#timers.delete(cancel)
      callback()
    })
    this.#timers.add(cancel)
  }

  #cancelTimers(): void {
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
  }
}
