import { systemClock, type Clock } from '../../src/pipeline/clock.ts'

/** Time that can be made to run faster, so that a time-out comes soon where it is waited for and else not even on a busy machine. */
export class HurriedClock implements Clock {
  #speed = 1
  #since = systemClock.monotonic()
  #passed = 0

  set speed(speed: number) {
    this.#passed = this.monotonic()
    this.#since = systemClock.monotonic()
    this.#speed = speed
  }

  now(): number {
    return systemClock.now()
  }

  monotonic(): number {
    return this.#passed + (systemClock.monotonic() - this.#since) * this.#speed
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await systemClock.sleep(ms / this.#speed, signal)
  }

  after(ms: number, callback: () => void): () => void {
    return systemClock.after(ms / this.#speed, callback)
  }
}
