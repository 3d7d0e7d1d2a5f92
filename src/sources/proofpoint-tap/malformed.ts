import { RetryableError } from '../../pipeline/errors.ts'

/** A body that did not turn out to be the promised response: nothing of it counts as read, its window is read again. */
export class MalformedResponseError extends RetryableError {
  override readonly name = 'MalformedResponseError'
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, { ...options, code: 'ApiAnswerMalformed' })
  }
}
