import type { Clock } from '../../pipeline/clock.ts'
import { MINUTE_MS } from './windows.ts'

/** How far the local clock may be ahead of the API's before we know better. */
const CAUTION_MS = 5 * MINUTE_MS
/** A Date header that differs by more than this is a jump. */
const JUMP_MS = MINUTE_MS
const ANSWERS_TO_BELIEVE_A_JUMP = 3
/** The first time is believed at once where it lies so near to the local clock; another one is a jump. */
const NEAR_LOCAL_MS = 10 * MINUTE_MS
/** After so many answers without a time none is to be expected, and the local clock has to do. */
const ANSWERS_TO_GIVE_UP = 10

/**
 * The API's clock, from the Date headers of its answers and measured on from there by the monotonic clock. One answer alone proves nothing:
 * some proxy's page of errors has a Date as well, and where that is another time it counts for nothing.
 *
 *   not known ──near the local clock──▶ known ──agrees──▶ known
 *       └──another time──▶ doubtful ◀──a jump──┘
 *                             ├──three answers in a row that agree with each other──▶ known, by their time
 *                             └──one that agrees with the known time──▶ known, as before
 *
 * It is never ahead of the API: a Date header is old when it arrives, and of two times in doubt the earlier one counts.
 */
export class ServerTime {
  readonly #clock: Clock
  /** The API's time minus the monotonic clock. */
  #offset: number | null = null
  /** Of the latest answers, which agree with each other but not with what is believed. */
  #jumped: number[] = []
  /** Of the latest answer that told a time. */
  #latest: number | null = null
  #answers = 0
  #silentAnswers = 0
  #asking: Promise<void> | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isKnown(): boolean {
    return this.#offset !== null
  }

  /** The latest answer told another time than the one that is believed. Nobody may rely on having read everything then. */
  get isDoubtful(): boolean {
    return this.#jumped.length > 0
  }

  /** Answers so far that told a time, believed or not. */
  get answers(): number {
    return this.#answers
  }

  /** Epoch milliseconds, cautious. While it is not known the local clock minus five minutes, at the latest. */
  now(): number {
    return Math.min(this.believed(), ...this.#jumped.map((offset) => this.#clock.monotonic() + offset))
  }

  /** Epoch milliseconds, whatever the latest answers say against it: one wrong Date must not be what a new service begins at. */
  believed(): number {
    return this.#offset === null ? this.#clock.now() - CAUTION_MS : this.#clock.monotonic() + this.#offset
  }

  /** What the latest answer said, true or not: for questions by which nothing can be lost. */
  guess(): number {
    return this.#latest === null ? this.believed() : this.#clock.monotonic() + this.#latest
  }

  /**
   * The API's time when a request was sent that has been answered meanwhile, `sentAt` by the monotonic clock: its own answer is the best
   * witness. -Infinity where it is not known: nothing may then be taken for final.
   */
  whenSent(sentAt: number): number {
    if (this.#offset === null && this.#silentAnswers < ANSWERS_TO_GIVE_UP) return -Infinity
    return this.now() - (this.#clock.monotonic() - sentAt)
  }

  /**
   * Any answer tells the time, an error as well; one with an `Age` comes out of a cache and tells none. One that may be somebody else's than
   * the API's (`isOwn`) can agree with what is known, or be near the local clock, but makes no jump.
   */
  observe(headers: Readonly<Record<string, string | string[] | undefined>>, isOwn = true): void {
    const { date, age } = headers
    const time = age !== undefined || typeof date !== 'string' ? NaN : Date.parse(date)
    if (!Number.isNaN(time)) {
      if (!isOwn && !this.#isCredible(time - this.#clock.monotonic())) return
      this.#silentAnswers = 0
      this.#answers += 1
      this.#latest = time - this.#clock.monotonic()
      this.#learn(this.#latest)
      return
    }
    this.#silentAnswers += 1
    // What was in doubt will not be cleared up by answers like these.
    if (this.#silentAnswers >= ANSWERS_TO_GIVE_UP) this.#jumped = []
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
    if (this.#isCredible(offset)) {
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

  #isCredible(offset: number): boolean {
    if (this.#offset !== null) return Math.abs(offset - this.#offset) <= JUMP_MS
    return Math.abs(this.#clock.monotonic() + offset - this.#clock.now()) <= NEAR_LOCAL_MS
  }
}
