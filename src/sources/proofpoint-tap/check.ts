import type { Clock } from '../../pipeline/clock.ts'
import type { TapClient } from './client.ts'
import type { TapInputConfig, TapServiceConfig } from './config.ts'
import { TapError } from './errors.ts'
import { FingerprintTable } from './fingerprints.ts'
import { MalformedResponseError } from './malformed.ts'
import type { ServerTime } from './server-time.ts'
import { TAP_SERVICES } from './services.ts'
import { threatTarget, type RequestTarget } from './targets.ts'
import { NO_THREAT } from './threat-summary.ts'
import { WindowReading } from './window-reading.ts'
import { floorToSecond, SECOND_MS, SHORTEST_WINDOW_MS } from './windows.ts'

/** The window of a check ends so long ago: no doubt about clocks makes it a current one. */
const IN_THE_PAST_MS = 90 * SECOND_MS

export interface CheckDependencies {
  readonly clock: Clock
  readonly client: TapClient
  readonly time: ServerTime
}

/** Proves with one request of the shortest window that the API accepts us for these services. Throws TapError; what it read is dropped. */
export async function checkTarget(target: RequestTarget, deps: CheckDependencies, signal: AbortSignal): Promise<void> {
  const isGuess = !deps.time.isKnown || deps.time.isDoubtful
  try {
    await readOnce(target, deps, signal)
  } catch (error) {
    // The local clock is far off; the refusal has told us the time.
    const isClockAtFault = error instanceof TapError && (error.kind === 'still-current' || error.kind === 'too-old')
    if (!isGuess || !isClockAtFault) throw error
    await readOnce(target, deps, signal)
  }
}

/** Proves the same for threats, with one request for none: that there is no such threat is told only to those who may ask. */
export async function checkThreats(input: TapInputConfig, service: TapServiceConfig, { client }: CheckDependencies, signal: AbortSignal): Promise<void> {
  try {
    const answer = await client.ask(threatTarget(input, service, NO_THREAT), () => null, { isCaughtUp: true, signal, isPatient: false, onWait: () => undefined })
    answer.release()
  } catch (error) {
    if (!(error instanceof TapError) || error.kind !== 'not-found') throw error
  }
}

async function readOnce(target: RequestTarget, { clock, client, time }: CheckDependencies, signal: AbortSignal): Promise<void> {
  const to = floorToSecond(time.guess() - IN_THE_PAST_MS)
  const window = { from: to - SHORTEST_WINDOW_MS, to }
  const answer = await client.ask(target, () => window, { isCaughtUp: true, signal, isPatient: false, onWait: () => undefined })
  const arrays = new Map(
    target.services.flatMap(({ name }) =>
      TAP_SERVICES[name].arrays.map((array) => {
        const pull = { inputId: '', service: array, pulledAt: clock.now(), environment: null }
        return [array, { pull, seen: new FingerprintTable([]) }] as const
      }),
    ),
  )
  const reading = new WindowReading(answer, { arrays, window, now: () => clock.now() }, clock, 0)
  try {
    while ((await reading.next()) !== null);
    const [problem] = reading.summary.problems.values()
    if (problem !== undefined) throw new MalformedResponseError(problem)
  } catch (error) {
    signal.throwIfAborted()
    throw client.failureOf(error)
  } finally {
    await reading.close()
  }
}
