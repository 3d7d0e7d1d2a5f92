import { writeSync } from 'node:fs'
import { pino, stdSerializers, type Logger } from 'pino'
import { prettyLine } from './pretty.ts'
import type { SecretScrubber } from './secrets.ts'

export interface LoggerOptions {
  readonly debug: boolean
  /** 1: standard output; 2: standard error, while a console output has the other. */
  readonly fd: number
  /** Human-readable lines instead of JSON, for a terminal. */
  readonly pretty: boolean
  readonly scrubber: SecretScrubber
}

/**
 * The one logger. It writes synchronously: only so does every line survive `process.exit` and signals.
 * Whatever comes by passes the scrubber, so that no secret can be logged at any level, in any field.
 */
export function createLogger({ debug, fd, pretty, scrubber }: LoggerOptions): Logger {
  return pino(
    {
      level: debug ? 'debug' : 'info',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: debug ? stdSerializers.err : briefError },
    },
    {
      write(line: string) {
        const clean = scrubber.scrub(line)
        writeAll(fd, pretty ? prettyLine(clean) : clean)
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

/** A pipe that is full answers EAGAIN; one that is gone must not stop the collector. */
function writeAll(fd: number, text: string): void {
  let rest = Buffer.from(text)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest))
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code === 'EAGAIN') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
      else return
    }
  }
}
