import type { Clock } from '../../pipeline/clock.ts'
import type { TapClient } from './client.ts'
import type { TapServiceConfig } from './config.ts'
import { TapError } from './errors.ts'
import { FingerprintTable } from './fingerprints.ts'
import type { ServerTime } from './server-time.ts'
import { TAP_SERVICES } from './services.ts'
import { WindowReading } from './window-reading.ts'
import { floorToSecond, SECOND_MS, SHORTEST_WINDOW_MS } from './windows.ts'

/** The window of a check ends so long ago: no doubt about clocks makes it a current one. */
const IN_THE_PAST_MS = 90 * SECOND_MS

export interface CheckDependencies {
  readonly clock: Clock
  readonly client: TapClient
  readonly time: ServerTime
}

/** Proves with one request of the shortest window that the API accepts us for this service. Throws TapError; what it read is dropped. */
export async function checkService(service: TapServiceConfig, deps: CheckDependencies, signal: AbortSignal): Promise<void> {
  const isGuess = !deps.time.isKnown || deps.time.isDoubtful
  try {
    await readOnce(service, deps, signal)
  } catch (error) {
    // The local clock is far off; the refusal has told us the time.
    const isClockAtFault = error instanceof TapError && (error.kind === 'still-current' || error.kind === 'too-old')
    if (!isGuess || !isClockAtFault) throw error
    await readOnce(service, deps, signal)
  }
}

async function readOnce(service: TapServiceConfig, { clock, client, time }: CheckDependencies, signal: AbortSignal): Promise<void> {
  const to = floorToSecond(time.guess() - IN_THE_PAST_MS)
  const window = { from: to - SHORTEST_WINDOW_MS, to }
  const answer = await client.ask(service, () => window, { isCaughtUp: true, signal, isPatient: false, onWait: () => undefined })
  const pull = { inputId: '', service: service.name, pulledAt: clock.now(), environment: null }
  const arrays = new Map([[TAP_SERVICES[service.name].array, { pull, seen: new FingerprintTable([]) }]])
  const reading = new WindowReading(answer, { arrays, window, now: () => clock.now() }, clock, 0)
  try {
    while ((await reading.next()) !== null);
  } catch (error) {
    signal.throwIfAborted()
    throw client.failureOf(error)
  } finally {
    await reading.close()
  }
}
