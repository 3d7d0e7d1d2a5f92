import { Readable } from 'node:stream'
import type { Clock } from '../../pipeline/clock.ts'
import type { Pull } from '../../pipeline/event.ts'
import type { Window } from '../../pipeline/unit.ts'
import type { Asking } from './pool.ts'
import type { TapClient } from './client.ts'
import type { TapInputConfig, TapServiceConfig } from './config.ts'
import { TapError } from './errors.ts'
import type { FingerprintTable } from './fingerprints.ts'
import type { ResponsePart, ResponseSummary } from './response.ts'
import { TAP_SERVICES } from './services.ts'
import { threatTarget } from './targets.ts'
import { WindowReading } from './window-reading.ts'

export interface SummaryRequest {
  readonly input: TapInputConfig
  readonly service: TapServiceConfig
  readonly client: TapClient
  readonly clock: Clock
  readonly seen: FingerprintTable
  /** That the fingerprint of the answer is kept with. */
  readonly window: Window
  readonly asking: Omit<Asking, 'member'>
  /** An answer begins to arrive. */
  readonly answered: () => Pull
}

export interface Summary {
  /** The one event, or dead letter, that the answer is; null: the very same one has come before. */
  readonly part: ResponsePart | null
  readonly counts: Pick<ResponseSummary, 'received' | 'duplicates' | 'invalidUtf8'>
}

/** No threat has it: whoever may read threats gets a 404 for it. */
export const NO_THREAT = '0'.repeat(64)

/**
 * Asks what a threat is. The answer, one JSON object, is read as the only element of an array: so it goes through the same checks as all events.
 * Throws TapError, `not-found` among it, and the signal's reason.
 */
export async function askForThreat(id: string, request: SummaryRequest): Promise<Summary> {
  const { input, service, client, clock, seen, window, asking, answered } = request
  const [array] = TAP_SERVICES[service.name].arrays
  if (array === undefined) throw new Error(`${service.name} has no events`)
  const sentAt = clock.monotonic()
  const answer = await client.ask(threatTarget(input, service, id), () => null, asking)
  const target = { pull: { ...answered(), service: array }, seen }
  const body = answer.body === null ? null : asOnlyElement(array, answer.body)
  const options = { arrays: new Map([[array, target]]), window, now: () => clock.now() }
  const reading = new WindowReading({ ...answer, body }, options, clock, clock.monotonic() - sentAt)
  try {
    let whole: ResponsePart | null = null
    for (let part = await reading.next(); part !== null; part = await reading.next()) whole = part
    const { received, duplicates, invalidUtf8 } = reading.summary
    if (received !== 1) {
      throw new TapError('broken', `the answer is not what the API promises: it is ${received === 0 ? 'empty' : 'more than one JSON object'}`, { code: 'ApiAnswerMalformed' })
    }
    return { part: whole, counts: { received, duplicates, invalidUtf8 } }
  } catch (error) {
    asking.signal.throwIfAborted()
    throw client.failureOf(error)
  } finally {
    await reading.close()
  }
}

function asOnlyElement(array: string, body: Readable): Readable {
  const pieces = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    yield Buffer.from(`{"${array}":[`)
    // The body of an answer is bytes.
    for await (const piece of body as AsyncIterable<Uint8Array>) yield piece
    yield Buffer.from(']}')
  }
  return Readable.from(pieces(), { objectMode: false })
}
