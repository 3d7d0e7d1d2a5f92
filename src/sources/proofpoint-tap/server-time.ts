import type { Clock } from '../../pipeline/clock.ts'
import { MINUTE_MS } from './windows.ts'

/** How far the local clock may be ahead of the API's before we know better. */
const CAUTION_MS = 5 * MINUTE_MS
/** A Date header that differs by more than this is a jump. */
const JUMP_MS = MINUTE_MS
const ANSWERS_TO_BELIEVE_A_JUMP = 3
/** After so many answers without a time none is to be expected, and the local clock has to do. */
const ANSWERS_TO_GIVE_UP = 10

/**
 * The API's clock, from the Date headers of its answers and measured on from there by the monotonic clock. It is never ahead of the API: a
 * Date header is old when it arrives, and while an answer says that the clock is further back than we thought, that counts at once.
 */
export class ServerTime {
  readonly #clock: Clock
  /** The API's time minus the monotonic clock. */
  #offset: number | null = null
  /** Of the latest answers, while they disagree with what is believed. */
  #jumped: number[] = []
  #silentAnswers = 0
  #asking: Promise<void> | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isKnown(): boolean {
    return this.#offset !== null
  }

  /** Epoch milliseconds. Before the first answer the local clock minus five minutes. */
  now(): number {
    if (this.#offset === null) return this.#clock.now() - CAUTION_MS
    return this.#clock.monotonic() + Math.min(this.#offset, ...this.#jumped)
  }

  /**
   * The API's time when a request was sent that has been answered meanwhile, `sentAt` by the monotonic clock: its own answer is the best
   * witness. -Infinity where it is not known: nothing may then be taken for final.
   */
  whenSent(sentAt: number): number {
    if (this.#offset === null && this.#silentAnswers < ANSWERS_TO_GIVE_UP) return -Infinity
    return this.now() - (this.#clock.monotonic() - sentAt)
  }

  /** Any answer tells the time, an error as well; one with an `Age` comes out of a cache and tells none. */
  observe(headers: Readonly<Record<string, string | string[] | undefined>>): void {
    const { date, age } = headers
    const time = age !== undefined || typeof date !== 'string' ? NaN : Date.parse(date)
    if (Number.isNaN(time)) this.#silentAnswers += 1
    else this.#learn(time - this.#clock.monotonic())
  }

  /**
   * Asks for the time. Where somebody asks already, it waits for the end of that instead and gives false: then the time may be known, or
   * the caller asks again. Rejects with the question's error.
   */
  async ask(question: () => Promise<void>): Promise<boolean> {
    if (this.#asking !== null) {
      await this.#asking.catch(() => undefined)
      return false
    }
    this.#asking = question().finally(() => {
      this.#asking = null
    })
    await this.#asking
    return true
  }

  #learn(offset: number): void {
    if (this.#offset === null || Math.abs(offset - this.#offset) <= JUMP_MS) {
      this.#offset = offset
      this.#jumped = []
      return
    }
    const agrees = this.#jumped.every((other) => Math.abs(other - offset) <= JUMP_MS)
    this.#jumped = agrees ? [...this.#jumped, offset] : [offset]
    if (this.#jumped.length < ANSWERS_TO_BELIEVE_A_JUMP) return
    this.#offset = Math.min(...this.#jumped)
    this.#jumped = []
  }
}
