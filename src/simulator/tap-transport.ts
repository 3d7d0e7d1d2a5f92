import type { Clock } from '../pipeline/clock.ts'
import type { TransportFault } from './tap-faults.ts'

/** The connection breaks at this place: by a reset, or by an end that comes too early. */
export class BrokenTransport extends Error {
  override readonly name = 'BrokenTransport'
  readonly how: 'reset' | 'end'
  constructor(how: 'reset' | 'end') {
    super(how === 'reset' ? 'the connection was reset' : 'the connection ended too early')
    this.how = how
  }
}

/**
 * The bytes of an answer as its transport fault lets them through. Throws BrokenTransport where the connection breaks, and the signal's
 * reason after a stall. A simulation without sockets takes its bytes from here as well.
 */
export async function* carry(
  body: Iterable<Uint8Array>,
  transport: TransportFault | null,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array, void, undefined> {
  if (transport === null) {
    yield* body
    return
  }
  if (transport.kind === 'drip') {
    for (const piece of cut(body, transport.bytes)) {
      await clock.sleep(transport.everyMs, signal)
      yield piece
    }
    return
  }
  yield* head(body, limitOf(transport.afterBytes ?? 0, body))
  if (transport.kind === 'stall') await untilAborted(signal)
  if (transport.kind === 'reset') throw new BrokenTransport('reset')
  if (transport.kind === 'truncate' && (transport.framing === 'length' || transport.framing === 'chunked')) throw new BrokenTransport('end')
}

/** A share of a body needs its whole length: the body is made once more for it. */
function limitOf(afterBytes: number, body: Iterable<Uint8Array>): number {
  if (afterBytes <= 0 || afterBytes >= 1) return afterBytes
  let length = 0
  for (const piece of body) length += piece.length
  return Math.floor(length * afterBytes)
}

function* head(body: Iterable<Uint8Array>, limit: number): Generator<Uint8Array, void, undefined> {
  let left = limit
  for (const piece of body) {
    if (left <= 0) return
    yield piece.subarray(0, left)
    left -= piece.length
  }
}

function* cut(body: Iterable<Uint8Array>, bytes: number): Generator<Uint8Array, void, undefined> {
  for (const piece of body) {
    for (let start = 0; start < piece.length; start += bytes) yield piece.subarray(start, start + bytes)
  }
}

async function untilAborted(signal: AbortSignal): Promise<never> {
  signal.throwIfAborted()
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
