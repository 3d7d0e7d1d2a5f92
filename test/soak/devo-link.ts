import { DevoConnection } from '../../src/simulator/devo-connection.ts'
import type { DevoBehaviour } from '../../src/simulator/devo-behaviours.ts'
import type { DevoPeer, DevoPeerEvents } from '../../src/simulator/devo-peer.ts'
import type { Connection, PeerWatcher } from '../../src/sinks/proof/connection.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import type { VirtualClock } from '../support/virtual-clock.ts'
import type { Life } from './life.ts'

/** What both kernels and the way between them hold of what the receiver has not read. */
const CAPACITY_BYTES = 256 * 1024
/** An end that comes later than this after ours is not believed without a probe. */
const PROMPT_MS = 500

/** Lives that have seen a close_notify: for them a bare FIN is no orderly end. */
const demanding = new WeakSet<Life>()

export interface LinkOptions {
  readonly number: number
  readonly life: Life
  readonly machine: VirtualClock
  readonly watcher: PeerWatcher
  /** One way. */
  readonly latencyMs: number
  /** Called once, when it is certain whether the receiver has ended in an orderly way. */
  readonly onSettled: (link: DevoLink) => void
}

/**
 * One connection without sockets, as the collector holds it (`connection`) and as the receiver does (a `DevoPeer`), with a way of some
 * milliseconds between them. The receiver's behaviour is the simulator's own.
 */
export class DevoLink {
  readonly number: number
  readonly life: Life
  readonly connection: Connection
  /** Whole lines that the receiver has read, without their ends. */
  readonly lines: Buffer[] = []
  /** The receiver has ended its side after the client's. */
  isOrderly = false
  /** The client has seen that end, soon enough and of a kind to believe it. */
  isPrompt = false
  readonly #machine: VirtualClock
  readonly #peer: DevoPeer
  readonly #watcher: PeerWatcher
  readonly #latencyMs: number
  readonly #onSettled: (link: DevoLink) => void
  #receiver: DevoPeerEvents | null = null
  #bytesFlushed = 0
  readonly #waiting: { readonly bytes: Buffer; readonly flushed: () => void }[] = []
  readonly #arrived: Buffer[] = []
  #unreadBytes = 0
  #isPaused = false
  #clientEndedAt: number | null = null
  #isEndSent = false
  #hasEndArrived = false
  #isEndTold = false
  #serverEnd: 'close_notify' | 'fin' | 'reset' | null = null
  #hasServerEndArrived = false
  #isClientGone = false
  #isClosedTold = false
  #isSettled = false

  constructor({ number, life, machine, watcher, latencyMs, onSettled }: LinkOptions) {
    this.number = number
    this.life = life
    this.#machine = machine
    this.#watcher = watcher
    this.#latencyMs = latencyMs
    this.#onSettled = onSettled
    const bytesFlushed = (): number => this.#bytesFlushed
    this.connection = {
      get bytesFlushed() {
        return bytesFlushed()
      },
      write: (bytes, flushed) => {
        this.#waiting.push({ bytes: Buffer.from(bytes), flushed })
        this.#accept()
      },
      end: (ended) => this.#endClient(ended),
      afterArrivals: (callback) => this.#toClient('arrivals', 0, callback),
      destroy: () => this.#leave(),
    }
    this.#peer = {
      watch: (events) => (this.#receiver = events),
      pause: () => (this.#isPaused = true),
      resume: () => {
        this.#isPaused = false
        this.#later(0, () => this.#read())
      },
      end: (how) => this.#endServer(how),
    }
  }

  /** Called once: the receiver takes it, and may end it at once. `atFirstByte` may replace its behaviour. */
  begin(behaviour: DevoBehaviour, atFirstByte: () => DevoBehaviour | null): void {
    new DevoConnection(this.#peer, behaviour, this.#machine, {
      received: (line) => this.lines.push(Buffer.from(line)),
      discarded: () => undefined,
      began: atFirstByte,
      changed: () => undefined,
    })
  }

  /** The client's process has died: its kernel ends the connection. */
  die(): void {
    this.#isClosedTold = true
    this.#leave()
  }

  /** The receiver's process has died: what it has not ended yet is lost. */
  killServer(): void {
    if (this.#serverEnd !== null) return
    this.lines.length = 0
    this.#settle()
    this.#isPaused = true
    this.#endServer('fin')
  }

  #accept(): void {
    while (!this.#isClientGone && this.#unreadBytes < CAPACITY_BYTES) {
      const next = this.#waiting.shift()
      if (next === undefined) break
      this.#unreadBytes += next.bytes.length
      this.#bytesFlushed += next.bytes.length
      this.#later(this.#latencyMs, () => {
        this.#arrived.push(next.bytes)
        this.#read()
      })
      this.#toClient('flushed', 0, next.flushed)
    }
    if (this.#waiting.length > 0 || this.#clientEndedAt === null || this.#isEndSent) return
    this.#isEndSent = true
    this.#later(this.#latencyMs, () => {
      this.#hasEndArrived = true
      this.#read()
    })
  }

  #read(): void {
    // Behind its own end the receiver takes what comes and throws it away.
    while (!this.#isPaused || this.#serverEnd !== null) {
      const bytes = this.#arrived.shift()
      if (bytes === undefined) break
      this.#unreadBytes -= bytes.length
      this.#receiver?.data(bytes)
    }
    this.#accept()
    if (!this.#hasEndArrived || this.#isEndTold || this.#arrived.length > 0 || this.#isPaused) return
    this.#isEndTold = true
    this.#receiver?.ended()
  }

  #endClient(ended: () => void): void {
    this.#clientEndedAt = this.#machine.trueTime()
    this.#toClient('our end', 0, ended)
    this.#accept()
    this.#closeWhereBothEnded()
  }

  #endServer(how: 'close_notify' | 'fin' | 'reset'): void {
    if (this.#serverEnd !== null) return
    this.#serverEnd = how
    this.isOrderly = this.#isEndTold && how !== 'reset' && !this.#isSettled
    this.#settle()
    this.#toClient(`peer: ${how}`, this.#latencyMs, () => {
      if (this.#isClientGone) return
      if (how === 'reset') {
        this.#isClientGone = true
        this.#watcher.failed(new RetryableError('the connection was reset', { cause: Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }) }))
        this.#toClient('closed', 0, () => this.#tellClosed())
        return
      }
      this.#hasServerEndArrived = true
      if (how === 'close_notify') demanding.add(this.life)
      this.isPrompt = (how === 'close_notify' || !demanding.has(this.life)) && this.#clientEndedAt !== null && this.#machine.trueTime() - this.#clientEndedAt <= PROMPT_MS
      this.#watcher.peerEnding()
      this.#watcher.peerEnded()
      this.#closeWhereBothEnded()
    })
  }

  #closeWhereBothEnded(): void {
    if (this.#hasServerEndArrived && this.#clientEndedAt !== null) this.#toClient('closed', 0, () => this.#tellClosed())
  }

  /** The client closes both sides at once. */
  #leave(): void {
    if (this.#isClientGone) return
    this.#isClientGone = true
    this.#waiting.length = 0
    this.#toClient('closed', 0, () => this.#tellClosed())
    this.#later(this.#latencyMs, () => {
      this.#receiver?.closed()
      this.#settle()
    })
  }

  #tellClosed(): void {
    if (this.#isClosedTold) return
    this.#isClosedTold = true
    const isWhole = this.#hasServerEndArrived && this.#clientEndedAt !== null && !this.#isClientGone
    this.#isClientGone = true
    this.#later(this.#latencyMs, () => this.#receiver?.closed())
    this.#watcher.closed(isWhole ? { closeNotify: this.#serverEnd === 'close_notify' } : null)
  }

  #settle(): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#onSettled(this)
  }

  #later(ms: number, callback: () => void): void {
    this.#machine.after(ms, callback)
  }

  #toClient(what: string, ms: number, callback: () => void): void {
    this.#later(ms, () => this.life.deliver(`connection ${this.number} ${what}`, callback))
  }
}
