import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Logger } from 'pino'
import { retryBackoff } from '../../pipeline/backoff.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import { eventsOf, releaseBytes, type Batch } from '../../pipeline/event.ts'
import type { ShipmentContext } from '../../pipeline/sink.ts'
import { encodeLines } from '../line.ts'
import { isBusy, retryAfterOf, statusError } from './answer-errors.ts'
import type { Client } from './client.ts'
import type { Answer, Format } from './format.ts'
import { REFUSALS_WITHOUT_WITNESS, type Limits } from './limits.ts'

/** How long a request waits in its place where earlier ones of the shipment were taken: failing would send those again. */
const PATIENCE_MS = 60_000
const NO_PREFIX = Buffer.alloc(0)
const gzipped = promisify(gzip)

/** An event on its way, with where it stands in its batch. */
interface Piece {
  readonly batch: Batch
  readonly index: number
  /** What stands before the JSON. */
  readonly before: string
  readonly json: Uint8Array
}

export interface ShipmentParts {
  readonly client: Client
  readonly format: Format
  readonly limits: Limits
  readonly gzip: boolean
  readonly secrets: readonly string[]
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
  readonly reject: ShipmentContext['reject']
}

/**
 * The requests of one shipment, one after the other. What is held in memory is one request's events and the batch that they are taken from.
 *
 * A request that is refused because of an event (400, 422), or as too large (413), is cut in two until single events are left; those are refused for
 * good. That is believed only where the destination takes other events: one that refuses everything is most likely not set up as it should be,
 * and then the shipment fails and waits.
 */
export class HttpShipment {
  readonly #parts: ShipmentParts
  #pieces: Piece[] = []
  #bytes = 0
  /** Batches whose events are all in requests that are over, or in the next one. */
  #batches: Batch[] = []
  #isTaking = false
  #refused = 0
  #lastReason = ''

  constructor(parts: ShipmentParts) {
    this.#parts = parts
  }

  /** Resolves when all events are delivered or refused. */
  async run(batches: AsyncIterable<Batch>): Promise<void> {
    for await (const batch of batches) await this.#add(batch)
    await this.#flush()
    const { format, client, limits, signal } = this.#parts
    await format.confirm(async (url, headers, body) => client.post(url, headers, Buffer.from(body)), signal)
    this.#judge(0)
    limits.refusedInARow = this.#isTaking ? 0 : limits.refusedInARow + this.#refused
  }

  async #add(batch: Batch): Promise<void> {
    const { format, limits } = this.#parts
    const before = format.before(batch)
    const lines = encodeLines(batch, NO_PREFIX)
    const fixed = format.joint.length + format.after.length
    let index = 0
    for (const json of eventsOf({ lines, fingerprints: batch.fingerprints })) {
      const piece: Piece = { batch, index, before: before(index), json }
      const bytes = Buffer.byteLength(piece.before) + json.length + fixed
      if (this.#bytes + bytes + format.open.length + format.close.length > limits.requestBytes) await this.#flush()
      this.#pieces.push(piece)
      this.#bytes += bytes
      index += 1
    }
    this.#batches.push(batch)
  }

  async #flush(): Promise<void> {
    const pieces = this.#pieces
    this.#pieces = []
    this.#bytes = 0
    if (pieces.length > 0) await this.#deliver(pieces)
    for (const batch of this.#batches.splice(0)) releaseBytes(batch)
  }

  /** Both halves before the quarters: a part that is taken shows early that it is not the request as such. */
  async #deliver(pieces: readonly Piece[]): Promise<void> {
    const { format, limits, log } = this.#parts
    const parts = [pieces]
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      const body = this.#bodyOf(part)
      const answer = await this.#post(body)
      const { status } = answer
      if (status >= 200 && status < 300) {
        const refusals = format.taken(answer, part.length)
        if (refusals.length < part.length) this.#isTaking = true
        for (const { index, reason } of refusals) this.#refuse(part[index], reason)
      } else if (status === 413) {
        if (part.length === 1) this.#refuseAlone(part[0], `too large for the destination (413), which got ${body.length} bytes`)
        else {
          const bytes = Math.floor(body.length / 2)
          if (bytes < limits.requestBytes) {
            limits.requestBytes = bytes
            log.warn({ code: 'HttpRequestTooLarge' }, `the destination finds a request of ${body.length} bytes too large (413); requests have at most ${bytes} bytes from now on: set max_request_bytes so`)
          }
          parts.push(...halves(part))
        }
      } else if (status === 400 || status === 422) {
        const { reason, index } = format.refused(answer)
        if (part.length === 1) this.#refuseAlone(part[0], reason)
        else parts.push(...(index === null ? halves(part) : around(part, index)))
      } else {
        throw statusError(answer, this.#parts.secrets)
      }
    }
  }

  #refuseAlone(piece: Piece | undefined, reason: string): void {
    this.#judge(1, reason)
    this.#refuse(piece, reason)
  }

  #refuse(piece: Piece | undefined, reason: string): void {
    if (piece === undefined) throw new RangeError('the destination refuses an event that was not in the request')
    this.#refused += 1
    this.#lastReason = reason
    this.#parts.reject(piece.batch, piece.index, reason)
  }

  /** Throws where so many events more would be refused for good without a single one that was taken. */
  #judge(more: number, reason = this.#lastReason): void {
    if (this.#isTaking || this.#refused + more + this.#parts.limits.refusedInARow <= REFUSALS_WITHOUT_WITNESS) return
    throw new RetryableError(`the destination takes no event at all, so that it is not believed to mean the events: check url, format, index and headers (last: ${reason})`, { code: 'HttpRefusesAll' })
  }

  /** Waits in its place while the destination is busy, but only where failing would send again what it has taken. */
  async #post(body: Buffer): Promise<Answer> {
    const { client, format, limits, clock, signal, log, secrets } = this.#parts
    const encoded = this.#parts.gzip ? await gzipped(body) : body
    const headers = this.#parts.gzip ? { ...format.headers, 'content-encoding': 'gzip' } : format.headers
    const backoff = retryBackoff()
    let waitedMs = 0
    for (;;) {
      let busy = limits.closed
      if (busy === null) {
        const answer = await client.post(format.url, headers, encoded)
        if (!isBusy(answer)) return answer
        busy = statusError(answer, secrets)
        const { retryAfterMs } = retryAfterOf(answer)
        if (retryAfterMs !== undefined) limits.closeFor(retryAfterMs, busy.message)
      }
      const waitMs = Math.max(backoff.next(), busy.retryAfterMs ?? 0)
      waitedMs += waitMs
      if (!this.#isTaking || waitedMs > PATIENCE_MS) throw busy
      log.debug({ waitMs: Math.round(waitMs) }, busy.message)
      await clock.sleep(waitMs, signal)
    }
  }

  #bodyOf(pieces: readonly Piece[]): Buffer {
    const { open, joint, close, after } = this.#parts.format
    const between = Buffer.from(after + joint)
    const parts: Uint8Array[] = [Buffer.from(open)]
    for (const [index, { before, json }] of pieces.entries()) {
      if (index > 0) parts.push(between)
      if (before !== '') parts.push(Buffer.from(before))
      parts.push(json)
    }
    parts.push(Buffer.from(after + close))
    return Buffer.concat(parts)
  }
}

function halves<T>(list: readonly T[]): readonly (readonly T[])[] {
  const middle = list.length >> 1
  return [list.slice(0, middle), list.slice(middle)]
}

/** The named one alone, and what stands before and behind it. The destination may be wrong about it: then the rest is halved later. */
function around<T>(list: readonly T[], index: number): readonly (readonly T[])[] {
  const named = list.slice(index, index + 1)
  if (named.length === 0) return halves(list)
  return [list.slice(0, index), named, list.slice(index + 1)].filter((part) => part.length > 0)
}
