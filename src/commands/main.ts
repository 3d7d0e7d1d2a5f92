import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { formatProblems } from '../config/report.ts'
import { parseTime } from '../config/start-time.ts'
import { ConfigurationError, describeError, FatalError, withCode } from '../pipeline/errors.ts'
import { EXIT } from './exit.ts'
import type { ReplayOptions } from './replay-request.ts'
import { tellTrouble } from './tell.ts'
import { version } from './version.ts'

/** The command line. Gives the exit code; prints what is wrong to standard error. Verbs are loaded when they are called: a start stays quick. */
export async function main(args: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.ok
  const program = new Command('tap-collector')
    .description('Carries Proofpoint TAP clicks and messages into Devo, through a durable buffer and with proof of delivery.')
    .version(version())
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError(true)
    .configureOutput({ outputError: (text, write) => write(withCode(text, { code: 'UsageError' })) })
    .exitOverride()
  const verb = (name: string, description: string): Command =>
    program.command(name).description(description).exitOverride().showHelpAfterError('(--help shows the options)')
  const withConfig = (command: Command): Command =>
    command.option('--config <file>', 'the configuration (default: config/$CONFIG_FILE, then config/config.yaml)')

  withConfig(verb('run', 'run the collector until SIGTERM or Ctrl-C'))
    .option('--once', 'collect all that is due now, deliver everything, then leave')
    .option('--timeout <seconds>', 'with --once: leave with exit 1 after this time (default: 600)', seconds)
    .action(async (options: { config?: string; once?: true; timeout?: number }, command: Command) => {
      if (options.timeout !== undefined && options.once === undefined) command.error("error: option '--timeout' only goes with '--once'")
      exitCode = await (await import('./run.ts')).run(options)
    })
  withConfig(verb('validate', 'check the configuration, the certificates and the state'))
    .option('--connect', 'also log in to the API (one counted request for each pool), and open every output and the buffer; sends no events')
    .action(async (options: { config?: string; connect?: true }) => {
      exitCode = await (await import('./validate.ts')).validate(options)
    })
  withConfig(verb('status', 'show where services, quotas and outputs stand; also beside a running collector'))
    .option('--json', 'as JSON')
    .action(async (options: { config?: string; json?: true }) => {
      exitCode = await (await import('./status.ts')).status(options)
    })
  withConfig(verb('reset', 'move services to another start, at most 7 days back; the collector must be stopped'))
    .requiredOption('--service <name>', 'clicksBlocked, or input/clicksBlocked; may be repeated', collectNames)
    .requiredOption('--to <time>', 'the new start, UTC, for instance 2026-11-20T00:00:00Z', time)
    .option('--yes', 'do not ask')
    .action(async (options: { config?: string; service: string[]; to: number; yes?: true }) => {
      exitCode = await (await import('./reset.ts')).reset(options)
    })
  withConfig(verb('move', 'carry all from a Kafka buffer back to the embedded one; the collector must be stopped'))
    .requiredOption('--from <file>', 'the configuration with the Kafka buffer; --config has the embedded one')
    .option('--yes', 'do not ask')
    .action(async (options: { config?: string; from: string; yes?: true }) => {
      exitCode = await (await import('./move.ts')).move(options)
    })
  withConfig(verb('dead-letters', 'list what could not be delivered, send it again or drop it; also beside a running collector'))
    .addArgument(new Argument('<action>', 'what to do with them').choices(['list', 'retry', 'drop']))
    .addOption(names('--output <name>', 'only what this output has refused; may be repeated'))
    .option('--json', 'with list: one JSON object a line, with the whole event')
    .action(async (action: 'list' | 'retry' | 'drop', options: { config?: string; output: string[]; json?: true }, command: Command) => {
      if (options.json === true && action !== 'list') command.error("error: option '--json' only goes with 'list'")
      exitCode = await (await import('./dead-letters.ts')).deadLetters({ ...options, action })
    })
  withConfig(verb('replay', 'send events again out of the buffer; also beside a running collector'))
    .requiredOption('--from <time>', 'of the first events, UTC, for instance 2026-11-20T00:00:00Z', time)
    .requiredOption('--to <time>', 'behind the last ones', time)
    .addOption(names('--service <name>', 'only these; clicksBlocked, or input/clicksBlocked; may be repeated'))
    .addOption(names('--output <name>', 'only to these; may be repeated'))
    .addOption(new Option('--by <which>', 'what the times mean: when the collector fetched an event, or when the click or message was').choices(['pull-time', 'event-time']).default('pull-time'))
    .option('--rate <events>', 'to each output at most so many a second (default: as fast as it takes them)', eventsPerSecond)
    .option('--resume <id>', 'go on with one that was interrupted, with the same options')
    .option('--dry-run', 'count, and send nothing')
    .action(async (options: ReplayOptions) => {
      exitCode = await (await import('./replay.ts')).replay(options)
    })
  verb('simulate', 'a TAP API and a Devo receiver on this machine, with certificates and a ready configuration')
    .option('--dir <dir>', 'where to put them (default: ./simulator)')
    .action(async (options: { dir?: string }) => {
      exitCode = await (await import('./simulate.ts')).simulate(options)
    })
  verb('demo', 'simulator and collector together, until Ctrl-C').action(async () => {
    exitCode = await (await import('./demo.ts')).demo()
  })

  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    // Help and version are asked for; all else that commander throws is a command line that cannot work.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    const trouble = { code: 'UnexpectedError', err: error } as const
    if (error instanceof ConfigurationError) {
      const heading = error.file === null ? '' : `${error.file} cannot be used as it is:\n`
      tellTrouble(`${heading}${formatProblems(error.problems)}`, trouble)
      return EXIT.usage
    }
    if (error instanceof FatalError) tellTrouble(describeError(error), trouble)
    else tellTrouble(error instanceof Error ? (error.stack ?? error.message) : String(error), trouble)
    return EXIT.failure
  }
}

function seconds(text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('expected seconds above 0.')
  return value
}

function time(text: string): number {
  const value = parseTime(text)
  if (value === null) throw new InvalidArgumentError('expected a UTC time such as 2026-11-20T00:00:00Z.')
  return value
}

function eventsPerSecond(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number of at least 1.')
  return value
}

/** May be left out. */
function names(flags: string, description: string): Option {
  return new Option(flags, description).argParser(collectNames).default([], 'all')
}

function collectNames(value: string, earlier: readonly string[] = []): string[] {
  return [...earlier, value]
}
