import type { Logger } from 'pino'
import type { EventBuffer, InputOwnership } from './buffer.ts'
import type { Clock } from './clock.ts'
import { RetryableError } from './errors.ts'

/** A collector that is gone frees the inputs within its session time-out. */
const FREE_WITHIN_MS = 20_000
/** Inputs that nobody has are owned long before. */
const NEWS_AFTER_MS = 1_000

/** Another collector runs, and will go on to. */
export class InputsTakenError extends RetryableError {
  override readonly name = 'InputsTakenError'
}

interface OwnOptions {
  readonly buffer: Pick<EventBuffer, 'ownInputs'>
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
}

/**
 * The inputs for whoever has no use for standing by. Waits only as long as a collector that was killed seems to be there, and says that it
 * waits. Throws InputsTakenError, the signal's reason, or as `ownInputs` does.
 */
export async function ownInputsSoon({ buffer, clock, log, signal }: OwnOptions): Promise<InputOwnership> {
  const taken = new AbortController()
  const cancels = [
    clock.after(NEWS_AFTER_MS, () =>
      log.info(`Another collector reads the inputs, or has ended without a word just now; waiting at most ${FREE_WITHIN_MS / 1_000} s for them`),
    ),
    clock.after(FREE_WITHIN_MS, () => taken.abort(new InputsTakenError('another collector runs on this buffer and reads its inputs; stop it first', { code: 'InputsTaken' }))),
  ]
  try {
    return await buffer.ownInputs(AbortSignal.any([signal, taken.signal]))
  } finally {
    for (const cancel of cancels) cancel()
  }
}
