import { systemClock } from '../pipeline/clock.ts'
import { Counters } from '../pipeline/counters.ts'
import { ConfigurationError, describeError, FatalError, RetryableError } from '../pipeline/errors.ts'
import { runCollector } from './collector.ts'
import { EXIT } from './exit.ts'
import { internalLog, sendInternalEvents } from './internal-events.ts'
import { load, loggerFor, logWarnings, type ConfigOption } from './load.ts'
import { onSignals } from './signals.ts'
import { version } from './version.ts'

const DEFAULT_TIMEOUT_S = 600
/** Between the end of all work and the end of the process. */
const LEAVE_AFTER_MS = 1_000

/** `run`: the collector until the first signal; `--once`: what is due now. */
export async function run(options: ConfigOption & { readonly once?: true; readonly timeout?: number }): Promise<number> {
  const { config, warnings } = await load(options)
  const once = options.once === true
  const internal = internalLog(config, systemClock)
  const log = loggerFor(config, config.outputs.some(({ type }) => type === 'console') ? 2 : 1, internal === null ? {} : { alsoTo: internal.hear })
  const bug = (error: unknown): never => {
    log.fatal(
      { code: 'UnexpectedError', err: error, stack: error instanceof Error ? error.stack : undefined },
      `Unexpected error, stopping; a restart goes on where this ended: ${describeError(error)}`,
    )
    process.exit(EXIT.failure)
  }
  process.on('uncaughtException', bug)
  process.on('unhandledRejection', bug)

  const stop = new AbortController()
  const signals = onSignals((signal) => {
    log.info(`${signal}: finishing what is in flight; a second signal leaves at once`)
    stop.abort(new Error(`stopped by ${signal}`))
  }, log)
  // Whoever has seen the first line may rely on a signal being heard.
  logWarnings(log, warnings)
  log.info({ version: version(), node: process.versions.node, state: config.stateDir }, `tap-collector ${version()} starts: ${config.name}`)
  const timeoutMs = (options.timeout ?? DEFAULT_TIMEOUT_S) * 1_000
  const timedOut = { value: false }
  const cancelTimeout = once
    ? systemClock.after(timeoutMs, () => {
        timedOut.value = true
        stop.abort(new Error(`not done within ${timeoutMs / 1_000} s`))
      })
    : (): void => undefined
  let sending: { close(): Promise<void> } | null = null
  try {
    if (internal !== null) sending = await sendInternalEvents(internal, config, { clock: systemClock, log })
    await runCollector({ config, clock: systemClock, log, counters: new Counters(), stop: stop.signal, once })
    if (timedOut.value) {
      log.error(
        { code: 'OnceNotDone' },
        `Not everything could be collected and delivered within ${timeoutMs / 1_000} s; nothing is lost, the next run goes on from here`,
      )
      return EXIT.failure
    }
    log.info(
      once && stop.signal.aborted
        ? 'Stopped before all was collected and delivered; nothing is lost, the next run goes on from here'
        : 'Everything is saved; goodbye',
    )
    return EXIT.ok
  } catch (error) {
    if (error instanceof ConfigurationError) throw error
    if (error instanceof FatalError || error instanceof RetryableError) {
      log.fatal({ code: 'UnexpectedError', err: error }, describeError(error))
      return EXIT.failure
    }
    return bug(error)
  } finally {
    await sending?.close()
    cancelTimeout()
    signals.dispose()
    process.off('uncaughtException', bug)
    process.off('unhandledRejection', bug)
    // A reader of standard output that hangs would keep the process here. What is still on its way to it does not count as delivered.
    setTimeout(() => process.exit(), LEAVE_AFTER_MS).unref()
  }
}
