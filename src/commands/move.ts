import { moveToEmbedded, type Moved } from '../buffers/move/to-embedded.ts'
import type { CollectorConfig, EmbeddedBufferConfig, KafkaBufferConfig } from '../config/types.ts'
import { systemClock } from '../pipeline/clock.ts'
import { counted } from '../pipeline/counted.ts'
import { ConfigurationError, describeError, FatalError, RetryableError } from '../pipeline/errors.ts'
import { kafkaOptions } from './buffer.ts'
import { confirmed } from './confirmed.ts'
import { EXIT } from './exit.ts'
import { load, loggerFor, logWarnings, type ConfigOption } from './load.ts'
import { tellTrouble } from './tell.ts'

/** `move`: what the Kafka buffer of one configuration holds goes into the embedded buffer of another. Refuses while a collector runs on either. */
export async function move(options: ConfigOption & { readonly from: string; readonly yes?: true }): Promise<number> {
  const before = await load({ config: options.from }, { checkCertificates: false })
  const { config, warnings } = await load(options, { checkCertificates: false })
  const log = loggerFor(config, 2)
  logWarnings(log, [...before.warnings, ...warnings])
  const { kafka, embedded } = buffersOf(before.config, config, options.from)
  const from = `Kafka (topic_prefix ${kafka.topicPrefix})`
  if (options.yes !== true && !(await confirmed(`Move marks and undelivered events from ${from} to ${config.stateDir}? No collector starts on Kafka afterwards. [y/N] `))) {
    tellTrouble('Nothing was changed.', { code: 'NotConfirmed' })
    return EXIT.failure
  }
  const stop = abortOnSignals()
  try {
    const moved = await moveToEmbedded({
      ...kafkaOptions(kafka, { clock: systemClock, log }),
      dir: config.stateDir,
      maxSizeBytes: embedded.maxSizeBytes,
      signal: stop.signal,
    })
    process.stdout.write(moved === null ? `All was moved from ${from} to ${config.stateDir} before\n` : `${describe(moved)} were moved from ${from} to ${config.stateDir}\n`)
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof FatalError || error instanceof RetryableError || stop.signal.aborted)) throw error
    tellTrouble(`Nothing was moved: ${describeError(error)}`, { code: 'MoveFailed', err: error })
    return EXIT.failure
  } finally {
    stop.dispose()
  }
}

/** Throws ConfigurationError for every other pair, and says what to do instead. */
function buffersOf(
  { buffer: kafka }: CollectorConfig,
  { buffer: embedded }: CollectorConfig,
  from: string,
): { readonly kafka: KafkaBufferConfig; readonly embedded: EmbeddedBufferConfig } {
  if (kafka.type === 'kafka' && embedded.type === 'embedded') return { kafka, embedded }
  const refuse = (path: string, message: string): ConfigurationError => new ConfigurationError([{ path, message, value: from }], { code: 'UsageError' })
  if (kafka.type === 'embedded' && embedded.type === 'kafka') throw refuse('--from', 'this way needs no command: start the collector with the new configuration, and it moves what the embedded buffer holds to Kafka by itself')
  if (kafka.type === 'embedded') throw refuse('--from', 'must be the configuration with `buffer: {type: kafka}`; from one embedded buffer to another, stop the collector and move the state folder')
  throw refuse('--from', 'both configurations have a Kafka buffer; the one of --config must have the embedded buffer, from which a start moves on to another topic_prefix')
}

function describe({ events, services, outputs, deadLetters }: Moved): string {
  return `${counted(events, 'event')}, ${counted(services, 'service')}, ${counted(outputs, 'output')} and ${counted(deadLetters, 'dead letter')}`
}

/** The first signal ends the move and takes it back; a second one ends the process. The caller owes `dispose`. */
function abortOnSignals(): { readonly signal: AbortSignal; dispose(): void } {
  const stop = new AbortController()
  const handle = (signal: NodeJS.Signals): void => stop.abort(new Error(`stopped by ${signal}`))
  process.once('SIGTERM', handle)
  process.once('SIGINT', handle)
  return {
    signal: stop.signal,
    dispose() {
      process.off('SIGTERM', handle)
      process.off('SIGINT', handle)
    },
  }
}
