import type { Logger } from 'pino'
import { EXIT } from './exit.ts'

/** The whole stop, shipments' grace included, must be over before a container is killed. */
const LEAVE_AFTER_MS = 9_000

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
