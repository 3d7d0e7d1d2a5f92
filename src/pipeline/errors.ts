import { label, type CodeName } from './codes.ts'

/** One thing that is wrong in the configuration. `value` is never a secret. */
export interface Problem {
  /** Where in the YAML, for instance `inputs.proofpoint_tap.services.clicksBlocked.request_period_in_seconds`. */
  readonly path: string
  /** What is wrong and what is expected, as a sentence without its full stop. */
  readonly message: string
  /** What was seen there, shortened; left out where it may be a secret or is missing. */
  readonly value?: string
}

/** The user's configuration or command line cannot work: exit 2, all problems at once. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
  readonly problems: readonly Problem[]
  readonly codeName: CodeName
  /** The file that they are all about; null: a command line, or what the file leads to. */
  readonly file: string | null
  constructor(problems: readonly Problem[], { code = 'ConfigurationInvalid', file = null }: { readonly code?: CodeName; readonly file?: string | null } = {}) {
    super(problems.map(describeProblem).join('\n'))
    this.problems = problems
    this.codeName = code
    this.file = file
  }
}

const LONGEST_PATH = 300

/** One line for a terminal: a key may be any text. */
export function describeProblem({ path, message, value }: Problem): string {
  const where = path.length > LONGEST_PATH ? `${path.slice(0, LONGEST_PATH)}...` : path
  const line = value === undefined ? `${where}: ${message}` : `${where}: ${message}, but found ${value}`
  return line.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

export interface CodedErrorOptions extends ErrorOptions {
  /** Which row of docs/errors.md explains it. Everything here gives one; what a plug-in throws may go without. */
  readonly code?: CodeName
}

/** Something that may go well later: whoever owns the loop waits and tries again, for ever, and says what it waits for. */
export class RetryableError extends Error {
  override readonly name: string = 'RetryableError'
  /** The shortest sensible wait, where the other side named one (Retry-After). */
  readonly retryAfterMs?: number
  readonly codeName?: CodeName
  constructor(message: string, options: CodedErrorOptions & { readonly retryAfterMs?: number } = {}) {
    super(message, options)
    if (options.code !== undefined) this.codeName = options.code
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs
  }
}

/** A start-up condition that only a person can change (state folder in use, damaged buffer): one clear line, exit 1, no stack. */
export class FatalError extends Error {
  override readonly name = 'FatalError'
  readonly codeName?: CodeName
  constructor(message: string, options: CodedErrorOptions = {}) {
    super(message, options)
    if (options.code !== undefined) this.codeName = options.code
  }
}

/** The code of an error, or of the nearest cause that has one. Null for what comes from libraries, plug-ins and mistakes in the code. */
export function codeOf(error: unknown): CodeName | null {
  if (!(error instanceof Error)) return null
  if ((error instanceof RetryableError || error instanceof FatalError || error instanceof ConfigurationError) && error.codeName !== undefined) return error.codeName
  return codeOf(error.cause)
}

/** A text for a person with the code in front; that of `err` counts more, for it tells the cause. The log and the commands write no error or warning otherwise. */
export function withCode(text: string, { code, err }: { readonly code: CodeName; readonly err?: unknown }): string {
  return `${label(codeOf(err) ?? code)} ${text}`
}

/** True for what only a mistake in the code throws. The errors of sockets, files and libraries have a code. */
export function isBug(error: unknown): boolean {
  return (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) && !('code' in error)
}

/** The message with those of its causes: `sending shipment: connection reset`. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = error.message || ('code' in error ? String(error.code) : error.name)
  if (error.cause === undefined || error.cause === null) return own
  const cause = describeError(error.cause)
  return own.includes(cause) ? own : `${own}: ${cause}`
}
