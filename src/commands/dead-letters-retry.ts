import type { Logger } from 'pino'
import type { CollectorConfig, OutputConfig } from '../config/types.ts'
import { systemClock } from '../pipeline/clock.ts'
import { Conditions } from '../pipeline/conditions.ts'
import { Counters } from '../pipeline/counters.ts'
import type { DeadLetterStore } from '../pipeline/dead-letters.ts'
import { deliver } from '../pipeline/deliver.ts'
import { describeError, isBug } from '../pipeline/errors.ts'
import { LettersToRetry, whyNoRetry } from '../pipeline/retry-letters.ts'
import { createOutput } from './components.ts'
import { EXIT } from './exit.ts'
import { scrubberFor } from './load.ts'
import { stopsOnSignals, type Stops } from './signals.ts'
import { tellTrouble } from './tell.ts'

/** An output that is not there by then gets nothing: a person waits. Once it has taken something, it is tried until the stop. */
const REACHED_WITHIN_MS = 30_000

/**
 * Sends what each output has refused to it again, side by side, and removes what it takes now. Throws RetriesTakenError where that is under way
 * already, RetryableError of the store.
 */
export async function retryDeadLetters(
  config: CollectorConfig,
  store: DeadLetterStore,
  outputs: ReadonlySet<string> | null,
  log: Logger,
): Promise<number> {
  const claim = await store.claimRetries()
  const signals = stopsOnSignals(log)
  try {
    const { lost } = claim
    const stops: Stops = { stop: AbortSignal.any([signals.stop, lost]), abort: AbortSignal.any([signals.abort, lost]) }
    const configured = new Map(config.outputs.map((output) => [output.name, output]))
    const all = await Promise.all(
      [...(await sendable(store, outputs, configured))].map(async ([name, ids]) => {
        const output = configured.get(name)
        return output === undefined || (await retry(output, ids, config, store, log, stops))
      }),
    )
    if (lost.aborted) tellTrouble(`Another process may send them again now, so that this one has ended: ${describeError(lost.reason)}`, { code: 'RetryTakenOver' })
    else if (all.length === 0) process.stdout.write('There is nothing to send again.\n')
    return all.every(Boolean) ? EXIT.ok : EXIT.failure
  } finally {
    signals.dispose()
    await claim.release()
  }
}

/** The ids by output; why the others are left is told. */
async function sendable(
  store: DeadLetterStore,
  outputs: ReadonlySet<string> | null,
  configured: ReadonlyMap<string, OutputConfig>,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const idsByOutput = new Map<string, number[]>()
  const left = new Map<string, number>()
  for await (const letter of store.read()) {
    const { output, id } = letter
    if (outputs !== null && (output === null || !outputs.has(output))) continue
    const reason = whyNoRetry(letter) ?? (output === null || configured.has(output) ? null : `output ${output} is not configured, or off`)
    if (reason !== null) left.set(reason, (left.get(reason) ?? 0) + 1)
    if (reason !== null || output === null) continue
    const ids = idsByOutput.get(output)
    if (ids === undefined) idsByOutput.set(output, [id])
    else ids.push(id)
  }
  for (const [reason, count] of left) tellTrouble(`${count} cannot be sent again: ${reason}`, { code: 'RetryLeftOver' })
  return idsByOutput
}

/** True where the output has taken all of them. */
async function retry(
  config: OutputConfig,
  ids: readonly number[],
  collector: CollectorConfig,
  store: DeadLetterStore,
  log: Logger,
  { stop, abort }: Stops,
): Promise<boolean> {
  const { name, sink, transforms, shipmentsInFlight, maxShipmentEvents, maxShipmentBytes } = await createOutput(config, collector, {
    clock: systemClock,
    log,
  })
  const letters = new LettersToRetry(store, ids)
  try {
    try {
      await sink.check(AbortSignal.any([stop, AbortSignal.timeout(REACHED_WITHIN_MS)]))
    } catch (error) {
      if (isBug(error)) throw error
      tellTrouble(`${name}: cannot be reached, so that nothing was sent and all ${ids.length} are kept: ${scrubberFor(collector).scrub(describeError(error))}`, { code: 'RetryOutputUnreachable', err: error })
      return false
    }
    await deliver({
      output: name,
      sink,
      buffer: letters,
      cursor: letters.start,
      transforms,
      shipmentsInFlight: Math.min(shipmentsInFlight, sink.maxShipmentsInFlight),
      maxShipmentEvents,
      maxShipmentBytes,
      clock: systemClock,
      log,
      conditions: new Conditions(() => systemClock.now()),
      counters: new Counters(),
      stop,
      abort,
      drain: AbortSignal.abort(),
    })
  } finally {
    await sink.close()
  }
  const { sent, refusedAgain } = letters
  const unsent = ids.length - sent - refusedAgain
  process.stdout.write(`${name}: ${sent} of ${ids.length} sent again${refusedAgain > 0 ? `, ${refusedAgain} refused once more` : ''}${unsent > 0 ? `, ${unsent} not tried` : ''}\n`)
  return sent === ids.length
}
