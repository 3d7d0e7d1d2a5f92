import { pino, stdSerializers, type Logger } from 'pino'
import { withCode } from '../pipeline/errors.ts'
import { codedLine } from './coded.ts'
import { LineWriter } from './line-writer.ts'
import { prettyLine } from './pretty.ts'
import type { SecretScrubber } from './secrets.ts'

export interface LoggerOptions {
  readonly debug: boolean
  /** 1: standard output; 2: standard error, while a console output has the other. */
  readonly fd: number
  /** Human-readable lines instead of JSON, for a terminal. */
  readonly pretty: boolean
  readonly scrubber: SecretScrubber
  /** Stands before each line: where a terminal shows something else in its last line, what takes that away. */
  readonly before?: string
  /** Hears every line as well, as JSON and without secrets. It must return at once and throw nothing. */
  readonly alsoTo?: (line: string) => void
}

/**
 * The one logger. It writes synchronously: only so does every line survive `process.exit` and signals.
 * Whatever comes by passes the scrubber, so that no secret can be logged at any level, in any field.
 */
export function createLogger({ debug, fd, pretty, scrubber, before = '', alsoTo }: LoggerOptions): Logger {
  const writer = new LineWriter(fd)
  const form = (line: string): string => before + (pretty ? prettyLine(line) : line)
  const tellDropped = (lines: number): string =>
    form(
      `${JSON.stringify({ level: 'warn', time: new Date().toISOString(), msg: withCode(`${lines} lines of the log are missing: nobody read it for a while`, { code: 'LogLinesMissing' }) })}\n`,
    )
  return pino(
    {
      level: debug ? 'debug' : 'info',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: debug ? stdSerializers.err : briefError },
      hooks: { logMethod: codedLine },
    },
    {
      write(line: string) {
        const clean = `${scrubber.scrubJson(line.trimEnd())}\n`
        writer.write(form(clean), tellDropped)
        alsoTo?.(clean)
      },
    },
  )
}

/** The stack of what is expected to happen says nothing to an operator; debug shows it. */
function briefError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const code = 'code' in error ? error.code : undefined
  return { type: error.name, message: error.message, ...(code !== undefined && { code }) }
}
