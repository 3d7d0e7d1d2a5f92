import type { Clock } from '../../src/pipeline/clock.ts'
import type { VirtualClock } from '../support/virtual-clock.ts'

interface Timer {
  /** By the process's own monotonic clock. */
  readonly due: number
  readonly fire: () => void
  cancel: () => void
}

/** What a dead process waits for; one for each, or those who wait would never be collected. */
function never(): Promise<never> {
  return new Promise(() => undefined)
}

/**
 * One life of the collector's process, from its start to its end. All that it has of the world passes one of the seams, and each passing is a
 * *step*: where the process is killed it gets no further than that. Its timers are gone then and nothing is answered any more, so that its code
 * never runs again, wherever it was waiting.
 */
export class Life {
  readonly number: number
  /** Aborted for a graceful stop. */
  readonly stop = new AbortController()
  readonly clock: Clock
  readonly #machine: VirtualClock
  readonly #onStep: (what: string) => void
  readonly #onDeath: (life: Life) => void
  readonly #bornAt: number
  readonly #timers = new Set<Timer>()
  #held: (() => void)[] = []
  #suspendedAt: number | null = null
  #lostMs = 0
  #stepsLeft = Infinity
  #isDead = false

  constructor(number: number, machine: VirtualClock, { onStep, onDeath }: {
    readonly onStep: (what: string) => void
    readonly onDeath: (life: Life) => void
  }) {
    this.number = number
    this.#machine = machine
    this.#onStep = onStep
    this.#onDeath = onDeath
    this.#bornAt = machine.monotonic()
    this.clock = {
      now: machine.now,
      monotonic: () => this.#monotonic(),
      sleep: (ms, signal) => this.#sleep(ms, signal),
      after: (ms, callback) => this.#after(ms, callback),
    }
  }

  get isDead(): boolean {
    return this.#isDead
  }

  get isSuspended(): boolean {
    return this.#suspendedAt !== null
  }

  get pendingTimers(): number {
    return this.#timers.size
  }

  /** A step. Never resolves where the process dies at it. */
  async step(what: string): Promise<void> {
    if (!this.#passes(what)) await never()
  }

  /** What a living process gets of the work; a dead one gets nothing, not even its failure. */
  async answer<T>(work: Promise<T>): Promise<T> {
    try {
      const value = await work
      return this.#isDead ? await never() : value
    } catch (error) {
      if (this.#isDead) await never()
      throw error
    }
  }

  /** Something arrives from outside: now, or when the process is awake again. */
  deliver(what: string, callback: () => void): void {
    if (this.#suspendedAt !== null) this.#held.push(() => this.deliver(what, callback))
    else if (this.#passes(what)) callback()
  }

  /** It dies at so many steps from here. */
  killAfter(steps: number): void {
    this.#stepsLeft = steps
    if (steps === 0) this.kill()
  }

  kill(): void {
    if (this.#isDead) return
    this.#isDead = true
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
    this.#held = []
    this.#onDeath(this)
  }

  /** The machine sleeps: neither timers nor the monotonic clock go on, the wall clock and the world do. */
  suspend(ms: number): void {
    if (this.#isDead || this.#suspendedAt !== null) return
    const now = this.#monotonic()
    for (const timer of this.#timers) timer.cancel()
    this.#suspendedAt = now
    this.#machine.after(ms, () => {
      if (this.#isDead) return
      this.#suspendedAt = null
      this.#lostMs += ms
      for (const timer of this.#timers) this.#arm(timer)
      const held = this.#held
      this.#held = []
      for (const callback of held) callback()
    })
  }

  #passes(what: string): boolean {
    if (this.#isDead) return false
    this.#stepsLeft -= 1
    if (this.#stepsLeft < 0) {
      this.#onStep(`killed before: ${what}`)
      this.kill()
      return false
    }
    this.#onStep(what)
    return true
  }

  #monotonic(): number {
    return this.#suspendedAt ?? this.#machine.monotonic() - this.#bornAt - this.#lostMs
  }

  #after(ms: number, callback: () => void): () => void {
    if (this.#isDead) return () => undefined
    const timer: Timer = {
      due: this.#monotonic() + Math.max(0, ms),
      fire: () => {
        this.#timers.delete(timer)
        if (this.#passes('timer')) callback()
      },
      cancel: () => undefined,
    }
    this.#timers.add(timer)
    this.#arm(timer)
    return () => {
      timer.cancel()
      this.#timers.delete(timer)
    }
  }

  #arm(timer: Timer): void {
    timer.cancel = this.#machine.after(timer.due - this.#monotonic(), timer.fire)
  }

  #sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        cancel()
        reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal?.reason }))
      }
      if (signal?.aborted === true) {
        reject(signal.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal.reason }))
        return
      }
      const cancel = this.#after(ms, () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      })
      signal?.addEventListener('abort', abort, { once: true })
    })
  }
}
