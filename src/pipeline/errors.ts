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
  constructor(problems: readonly Problem[]) {
    super(problems.map(describeProblem).join('\n'))
    this.problems = problems
  }
}

const LONGEST_PATH = 300

/** One line for a terminal: a key may be any text. */
export function describeProblem({ path, message, value }: Problem): string {
  const where = path.length > LONGEST_PATH ? `${path.slice(0, LONGEST_PATH)}...` : path
  const line = value === undefined ? `${where}: ${message}` : `${where}: ${message}, but found ${value}`
  return line.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Something that may go well later: whoever owns the loop waits and tries again, for ever, and says what it waits for. */
export class RetryableError extends Error {
  override readonly name: string = 'RetryableError'
  /** The shortest sensible wait, where the other side named one (Retry-After). */
  readonly retryAfterMs?: number
  constructor(message: string, options: ErrorOptions & { retryAfterMs?: number } = {}) {
    super(message, options)
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs
  }
}

/** A start-up condition that only a person can change (state folder in use, damaged buffer): one clear line, exit 1, no stack. */
export class FatalError extends Error {
  override readonly name = 'FatalError'
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
