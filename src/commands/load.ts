import { defaultConfigPath, loadConfig } from '../config/load.ts'
import { ConfigurationError, describeProblem } from '../pipeline/errors.ts'
import { createLogger, type LoggerOptions } from '../telemetry/logger.ts'
import { SecretScrubber } from '../telemetry/secrets.ts'
import { secretsOfOutputs } from './components.ts'
import type { CollectorConfig, LoadedConfig } from '../config/types.ts'
import type { Logger } from 'pino'

export interface ConfigOption {
  readonly config?: string | undefined
}

/**
 * The user's configuration with its warnings. Throws ConfigurationError with all problems, which names the file. Commands that make no
 * connection pass `checkCertificates: false`: an operator must see the status also while a certificate is missing.
 */
export async function load({ config }: ConfigOption, { checkCertificates = true } = {}): Promise<LoadedConfig> {
  const file = config ?? defaultConfigPath(process.cwd(), process.env)
  try {
    return await loadConfig({ file, env: process.env, now: Date.now(), checkCertificates })
  } catch (error) {
    throw error instanceof ConfigurationError ? new ConfigurationError(error.problems, { code: error.codeName, file }) : error
  }
}

/** The log of a command: `run` writes it to standard output, the others and a run with a console output to standard error. */
export function loggerFor(config: CollectorConfig, fd: 1 | 2, more: Pick<LoggerOptions, 'before' | 'alsoTo'> = {}): Logger {
  return createLogger({ debug: config.debug, fd, pretty: process[fd === 1 ? 'stdout' : 'stderr'].isTTY, scrubber: scrubberFor(config), ...more })
}

export function scrubberFor(config: CollectorConfig): SecretScrubber {
  const scrubber = new SecretScrubber()
  for (const { username, password } of config.inputs) scrubber.addBasic(username, password)
  for (const secret of secretsOfOutputs(config)) scrubber.add(secret)
  if (config.buffer.type === 'kafka' && config.buffer.sasl !== null) scrubber.add(config.buffer.sasl.password)
  if (config.http.token !== null) scrubber.add(config.http.token)
  return scrubber
}

export function logWarnings(log: Logger, warnings: LoadedConfig['warnings']): void {
  for (const warning of warnings) log.warn({ code: 'ConfigurationWarning', path: warning.path }, describeProblem(warning))
}
