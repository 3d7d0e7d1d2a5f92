import { TapError } from './errors.ts'
import type { ServerTime } from './server-time.ts'
import { MINUTE_MS } from './windows.ts'

/**
 * What one service has against the API's time as it is known: nothing may be called up to date by a clock that is in doubt, or behind what the
 * API has answered for already. Where nothing is due by such a clock the API is asked, at most once a pass.
 */
export class TimeDoubts {
  readonly #time: ServerTime
  /** The API's clock was not behind this, epoch milliseconds. */
  #servedTo: number
  #hasAsked = false
  /** The API has answered without its time: it is not going to tell. */
  #isUntold = false

  constructor(time: ServerTime, servedTo: number) {
    this.#time = time
    this.#servedTo = servedTo
  }

  /** A time that the API never tells is no doubt: the local clock has to do. */
  get areNone(): boolean {
    return !this.#time.isDoubtful && !this.#isContradicted()
  }

  /** Whether to ask now, where nothing is due. */
  get areToBeCleared(): boolean {
    if (this.#hasAsked) return false
    return !this.areNone || (!this.#time.isKnown && !this.#isUntold)
  }

  passBegins(): void {
    this.#hasAsked = false
  }

  servedTo(end: number): void {
    this.#servedTo = Math.max(this.#servedTo, end)
  }

  /**
   * Gives false where somebody else was asking, who has told the time or not. Rejects with the question's error where that is something to
   * wait for; a refusal that tells the time is an answer.
   */
  async ask(question: () => Promise<void>): Promise<boolean> {
    const time = this.#time
    const { answers } = time
    try {
      const hasAsked = await time.ask(question)
      const isTold = time.answers > answers
      this.#hasAsked = hasAsked || isTold
      if (!hasAsked) return false
      this.#isUntold = !isTold
      // The API's clock was set back, then.
      if (isTold && !time.isDoubtful) this.#servedTo = -Infinity
      return true
    } catch (error) {
      const isTold = time.answers > answers
      // Where there is a time to go by there is no hurry: the next pass asks again.
      this.#hasAsked = isTold || time.isKnown || time.isDoubtful
      if (isTold && error instanceof TapError && error.kind !== 'login') return false
      throw error
    }
  }

  #isContradicted(): boolean {
    return this.#time.isKnown && this.#time.now() < this.#servedTo - MINUTE_MS
  }
}
