import type { Clock } from '../../pipeline/clock.ts'
import type { TapAnswer } from './client.ts'
import { readResponse, type ReadResponseOptions, type ResponsePart, type ResponseSummary } from './response.ts'
import { MINUTE_MS } from './windows.ts'

/** An answer that trickles may keep its connection alive for ever; after so much waiting it is given up. */
const LONGEST_WAIT_MS = 15 * MINUTE_MS

const EMPTY: ResponseSummary = { received: 0, duplicates: 0, invalidUtf8: 0, queryEndTime: null, bytes: 0, arrays: new Map(), problems: new Map() }

/** The parts of one answer, and how long the API took for them (not those who took the parts). */
export class WindowReading {
  readonly #answer: TapAnswer
  readonly #parts: AsyncGenerator<ResponsePart, ResponseSummary> | null
  readonly #clock: Clock
  #summary: ResponseSummary = EMPTY
  #tookMs: number

  /** `tookMs`: how long the API has taken so far. */
  constructor(answer: TapAnswer, options: ReadResponseOptions, clock: Clock, tookMs: number) {
    this.#answer = answer
    this.#parts = answer.body === null ? null : readResponse(answer.body, options)
    this.#clock = clock
    this.#tookMs = tookMs
  }

  get tookMs(): number {
    return this.#tookMs
  }

  /** Valid once `next` has given null. */
  get summary(): ResponseSummary {
    return this.#summary
  }

  /** Null: the answer has been read whole. */
  async next(): Promise<ResponsePart | null> {
    if (this.#parts === null) return null
    const began = this.#clock.monotonic()
    const cancel = this.#clock.after(Math.max(0, LONGEST_WAIT_MS - this.#tookMs), () =>
      this.#answer.abort(new Error(`the answer has not ended after ${LONGEST_WAIT_MS / MINUTE_MS} minutes`)),
    )
    try {
      const result = await this.#parts.next()
      if (result.done !== true) return result.value
      this.#summary = result.value
      return null
    } finally {
      cancel()
      this.#tookMs += this.#clock.monotonic() - began
    }
  }

  /** Ends it at once, also while somebody waits for a part. */
  async close(): Promise<void> {
    this.#answer.release()
    await this.#parts?.return(EMPTY)
  }
}
