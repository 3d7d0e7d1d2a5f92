import type { Batch } from '../../pipeline/event.ts'
import type { Answer } from '../../https/client.ts'

export type { Answer } from '../../https/client.ts'

/** Sends something to the destination, beside the events. Rejects with a RetryableError where no whole answer comes. */
export type Post = (url: URL, headers: Readonly<Record<string, string>>, body: string) => Promise<Answer>

/** An event of a request that the destination refuses for good. */
export interface Refusal {
  /** Its place in the request. */
  readonly index: number
  readonly reason: string
}

/** A refused request: one of its events may be the reason. */
export interface RefusedRequest {
  readonly reason: string
  /** The event that the destination names, or null. It is a hint only. */
  readonly index: number | null
}

/**
 * How events stand in the requests of one shipment, and what the answers mean. A format keeps what it has to know of that shipment only.
 * Whatever is no verdict on an event is thrown as a RetryableError that says what to do.
 */
export interface Format {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** What stands before, between and behind the events of a request, and behind each event's JSON. */
  readonly open: string
  readonly joint: string
  readonly close: string
  readonly after: string
  /** A request without events. */
  readonly empty: string
  /** What stands before the JSON of each event of a batch. */
  before(batch: Batch): (index: number) => string
  /** What an answer of 2xx means; the events that it names are refused, all others are taken. */
  taken(answer: Answer, events: number): readonly Refusal[]
  /** What an answer of 400 or 422 means. */
  refused(answer: Answer): RefusedRequest
  /** Resolves when all that was taken is safe at the destination. */
  confirm(post: Post, signal: AbortSignal): Promise<void>
  /** Looks at the answer to a request without events, which a destination that takes our login may well refuse (400). */
  check(answer: Answer, post: Post): Promise<void>
}

export const nothing = (): string => ''
