import { Readable } from 'node:stream'
import type { Clock } from '../../src/pipeline/clock.ts'
import type { TapModel } from '../../src/simulator/tap-model.ts'
import type { HttpRequest } from '../../src/sources/proofpoint-tap/http.ts'

const TIMEOUT_MS = 120_000

/** An error as sockets and undici give it. */
export function failure(code: string, message = code): Error {
  return Object.assign(new Error(message), { code })
}

/** The HTTP seam of the source straight on the model of the API, in memory and on the clock that is given. */
export function requestOverModel(model: TapModel, clock: Clock, { latencyMs = 0 }: { readonly latencyMs?: number } = {}): HttpRequest {
  return async ({ url, headers, signal }) => {
    signal.throwIfAborted()
    if (latencyMs > 0) await clock.sleep(latencyMs, signal)
    const answer = model.handle({ method: 'GET', path: url.pathname, query: url.search.slice(1), authorization: headers.authorization })
    const { transport } = answer
    if (transport?.kind === 'stall' && transport.afterBytes === null) {
      await clock.sleep(TIMEOUT_MS, signal)
      throw failure('UND_ERR_HEADERS_TIMEOUT', 'Headers Timeout Error')
    }
    const body = Readable.from(carried(answer.body, transport, clock, signal), { objectMode: false, highWaterMark: 1 })
    return { status: answer.status, headers: answer.headers, body }
  }
}

async function* carried(
  pieces: Iterable<Uint8Array>,
  transport: ReturnType<TapModel['handle']>['transport'],
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const whole = Buffer.concat([...pieces])
  if (transport === null) {
    yield whole
    return
  }
  if (transport.kind === 'drip') {
    for (let at = 0; at < whole.length; at += transport.bytes) {
      await clock.sleep(transport.everyMs, signal)
      yield whole.subarray(at, at + transport.bytes)
    }
    return
  }
  const after = transport.afterBytes ?? 0
  const end = after > 0 && after < 1 ? Math.floor(whole.length * after) : after
  if (end > 0) yield whole.subarray(0, end)
  if (transport.kind === 'stall') {
    await clock.sleep(TIMEOUT_MS, signal)
    throw failure('UND_ERR_BODY_TIMEOUT', 'Body Timeout Error')
  }
  if (transport.kind === 'truncate' && (transport.framing === 'ended' || transport.framing === 'close')) return
  throw failure('UND_ERR_SOCKET', 'other side closed')
}
