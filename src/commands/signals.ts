import type { Logger } from 'pino'
import { systemClock } from '../pipeline/clock.ts'
import { EXIT } from './exit.ts'

/** The whole stop, shipments' grace included, must be over before a container is killed. */
const LEAVE_AFTER_MS = 9_000
/** Of what is in flight when a command that sends events is stopped. */
const GRACE_MS = 5_000

/** `stop`: begin nothing more. `abort`, some seconds later: give up what is in flight. */
export interface Stops {
  readonly stop: AbortSignal
  readonly abort: AbortSignal
}

/**
 * First SIGTERM or SIGINT: `stop`; second: leave at once with 143 or 130. `leaveWith`: the exit code where the stop does not come to its
 * end. Whoever calls owes `dispose`.
 */
export function onSignals(stop: (signal: NodeJS.Signals) => void, log?: Logger, leaveWith: number = EXIT.ok): { dispose(): void } {
  let seen = false
  let deadline: NodeJS.Timeout | undefined
  const handle = (signal: NodeJS.Signals): void => {
    if (seen) process.exit(signal === 'SIGINT' ? 130 : 143)
    seen = true
    deadline = setTimeout(() => {
      log?.warn({ code: 'StopStuck' }, 'Something does not let go; leaving all the same. Buffer and cursors are safe')
      process.exit(leaveWith)
    }, LEAVE_AFTER_MS)
    deadline.unref()
    stop(signal)
  }
  process.on('SIGTERM', handle)
  process.on('SIGINT', handle)
  return {
    dispose() {
      clearTimeout(deadline)
      process.off('SIGTERM', handle)
      process.off('SIGINT', handle)
    },
  }
}

/** For a command that sends events: `onSignals` as a stop in two steps, and exit 1 where it does not come to its end. Whoever calls owes `dispose`. */
export function stopsOnSignals(log: Logger): Stops & { dispose(): void } {
  const stop = new AbortController()
  const abort = new AbortController()
  let cancelGrace = (): void => undefined
  const signals = onSignals((signal) => {
    stop.abort(new Error(`stopped by ${signal}`))
    cancelGrace = systemClock.after(GRACE_MS, () => abort.abort(new Error(`not proven within ${GRACE_MS / 1000} s of the stop`)))
  }, log, EXIT.failure)
  return {
    stop: stop.signal,
    abort: abort.signal,
    dispose() {
      cancelGrace()
      signals.dispose()
    },
  }
}
