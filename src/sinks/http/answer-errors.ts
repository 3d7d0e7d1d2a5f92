import { printable, retryAfter, said, singleHeader } from '../../https/answers.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import type { Answer } from './format.ts'

const RETRY_AFTER_MAX_MS = 3_600_000
const SHOWN_CHARACTERS = 200

/** `: what it said`, or nothing. */
export function itSaid(answer: Answer, secrets: readonly string[]): string {
  const text = said(answer.text, secrets)
  return text === '' ? '' : `: ${text}`
}

export function retryAfterOf(answer: Answer): { readonly retryAfterMs?: number } {
  const ms = retryAfter(answer.headers)
  return ms === null ? {} : { retryAfterMs: Math.min(ms, RETRY_AFTER_MAX_MS) }
}

/** True where the destination takes nothing for now, and has not taken this. */
export function isBusy({ status }: Answer): boolean {
  return status === 429 || status === 503
}

/** What an answer means that says nothing about an event. */
export function statusError(answer: Answer, secrets: readonly string[]): RetryableError {
  const { status, headers } = answer
  const text = itSaid(answer, secrets)
  const options = retryAfterOf(answer)
  if (status === 401) return new RetryableError(`the destination refuses the login (401): check credentials${text}`, { ...options, code: 'HttpLoginRefused' })
  if (status === 403) return new RetryableError(`the destination does not allow this (403): check credentials, and what they may write${text}`, { ...options, code: 'HttpForbidden' })
  if (status === 404) return new RetryableError(`the destination does not know this path (404): check url${text}`, { ...options, code: 'HttpNotFound' })
  if (status === 413) return new RetryableError(`the destination takes no request at all, not even a small one (413): check url${text}`, { ...options, code: 'HttpRequestTooLarge' })
  if (status >= 300 && status < 400) {
    const target = printable(said(singleHeader(headers.location) ?? 'nowhere', secrets), SHOWN_CHARACTERS)
    return new RetryableError(`the destination answers with a redirect (${status}) to ${target}, which is not followed: check url`, { ...options, code: 'HttpRedirected' })
  }
  if (isBusy(answer)) return new RetryableError(`the destination takes no more for now (${status})${text}`, { ...options, code: 'HttpBusy' })
  if (status >= 500) return new RetryableError(`the destination answers ${status}${text}`, { ...options, code: 'HttpServerError' })
  return new RetryableError(`the destination answers ${status}: check url, format and headers${text}`, { ...options, code: 'HttpRequestRefused' })
}

/** The answer's body as an object, or null. */
export function jsonOf({ text }: Answer): Readonly<Record<string, unknown>> | null {
  try {
    return objectOf(JSON.parse(text))
  } catch {
    return null
  }
}

export function objectOf(value: unknown): Readonly<Record<string, unknown>> | null {
  // an object that JSON.parse made has text keys
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : null
}
