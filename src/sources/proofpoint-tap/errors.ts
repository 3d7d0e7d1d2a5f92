import { printable, retryAfter, singleHeader } from '../../https/answers.ts'
import type { CodeName } from '../../pipeline/codes.ts'
import { codeOf, describeError, isBug, RetryableError, type CodedErrorOptions } from '../../pipeline/errors.ts'
import type { TapInputConfig, TapServiceConfig } from './config.ts'
import type { HttpResponse } from './http.ts'
import { MalformedResponseError } from './malformed.ts'
import { HOUR_MS } from './windows.ts'

/**
 * - `login`: refused, or not entitled;
 * - `throttled`: no request may be sent now, and the caller did not want to wait;
 * - `unreachable`: no connection; it says nothing about the window;
 * - `broken`: the API failed at this window: 5xx, no end in time, a body that is cut off or is something else;
 * - `too-old`, `too-short`, `still-current`: what the API says about the window (400);
 * - `refused`: another 400;
 * - `not-found`: 404, which is no news where something was asked for by its id;
 * - `unexpected`: any other answer; most often `base_url` or a proxy is wrong.
 */
export type FailureKind = 'login' | 'throttled' | 'unreachable' | 'broken' | 'too-old' | 'too-short' | 'still-current' | 'refused' | 'not-found' | 'unexpected'

const CODES_OF_KINDS: Readonly<Record<FailureKind, CodeName>> = {
  login: 'ApiLoginRefused',
  throttled: 'ApiThrottled',
  unreachable: 'ApiUnreachable',
  broken: 'ApiBroken',
  'too-old': 'ApiWindowRefused',
  'too-short': 'ApiWindowRefused',
  'still-current': 'ApiWindowRefused',
  refused: 'ApiRequestRefused',
  'not-found': 'ApiNotFound',
  unexpected: 'ApiAnswerUnexpected',
}

/** A request that brought nothing. The message is a sentence for an operator and does not change from one try to the next. */
export class TapError extends RetryableError {
  override readonly name = 'TapError'
  readonly kind: FailureKind
  /** Without a `code` it has that of its kind. */
  constructor(kind: FailureKind, message: string, options: CodedErrorOptions & { readonly retryAfterMs?: number } = {}) {
    super(message, { code: CODES_OF_KINDS[kind], ...options })
    this.kind = kind
  }
}

const SHOWN_CHARACTERS = 200
const RETRY_AFTER_MAX_MS = HOUR_MS

/** The three texts were seen live (facts on the SIEM API). */
const WINDOW_TEXTS: readonly (readonly [RegExp, FailureKind])[] = [
  [/too far in(to)? the past/i, 'too-old'],
  [/interval is too short/i, 'too-short'],
  [/still current/i, 'still-current'],
]

/** What an answer other than 200 and 204 means. `text` is the head of its body. */
export function refusal({ status, headers }: HttpResponse, text: string, input: TapInputConfig, services: readonly TapServiceConfig[]): TapError {
  const said = text === '' ? '' : `: ${text}`
  const where = `inputs.${input.name}`
  if (status === 401) return new TapError('login', `login refused (401): check ${where}.credentials${said}`)
  if (status === 403) {
    const names = services.map(({ name }) => name)
    const wayOut = names.length === 1 ? `remove it from ${where}.services` : `set ${where}.endpoint_mode to separate, or remove from ${where}.services what is not allowed`
    return new TapError('login', `not entitled to ${names.join(', ')} (403): Proofpoint must allow it to this service principal, or ${wayOut}${said}`, { code: 'ApiNotEntitled' })
  }
  if (status === 400) {
    const kind = WINDOW_TEXTS.find(([pattern]) => pattern.test(text))?.[1] ?? 'refused'
    return new TapError(kind, `the API refuses the request (400)${said}`)
  }
  if (status >= 500) {
    const retryAfterMs = retryAfter(headers)
    const options = retryAfterMs === null ? {} : { retryAfterMs: Math.min(retryAfterMs, RETRY_AFTER_MAX_MS) }
    return new TapError('broken', `the API answers ${status}${said}`, options)
  }
  if (status >= 300 && status < 400) {
    const target = printable(singleHeader(headers.location) ?? 'nowhere', SHOWN_CHARACTERS)
    return new TapError('unexpected', `the API answers with a redirect (${status}) to ${target}, which is not followed: check ${where}.base_url, or a proxy on the way`)
  }
  return new TapError(status === 404 ? 'not-found' : 'unexpected', `the API answers ${status}: check ${where}.base_url${said}`)
}

/** Status 200, but a page for people. */
export function htmlAnswer(input: TapInputConfig): TapError {
  return new TapError('unexpected', `the answer is an HTML page instead of JSON: check inputs.${input.name}.base_url, or a proxy or sign-in page on the way`)
}

const UNREACHABLE_CODES = new Set([
  'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN', 'EADDRNOTAVAIL', 'ETIMEDOUT',
  'EPROTO', 'ENOENT', 'EACCES', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_PRX_CONN', 'UND_ERR_PRX_TLS', 'UND_ERR_ABORTED', 'UND_ERR_INVALID_ARG', 'ERR_INVALID_URL',
])
const UNREACHABLE_TEXT = /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|ERR_OSSL_)/

/** What went wrong where no answer came, or none that was whole. Throws what is a bug. */
export function transportError(error: unknown, origin: string): TapError {
  if (error instanceof TapError) return error
  if (isBug(error)) throw error
  if (error instanceof MalformedResponseError) return new TapError('broken', `the answer is not what the API promises: ${describeError(error)}`, { code: 'ApiAnswerMalformed', cause: error })
  const code = codeOf(error)
  const options = { cause: error, ...(code !== null && { code }) }
  const isUnreachable = causes(error).some(
    ({ code, message }) => UNREACHABLE_CODES.has(code) || UNREACHABLE_TEXT.test(code) || message.includes('before secure TLS connection'),
  )
  if (isUnreachable) return new TapError('unreachable', `cannot reach ${origin}: ${describeError(error)}`, options)
  return new TapError('broken', `the answer failed: ${describeError(error)}`, options)
}

function causes(error: unknown): { code: string; message: string }[] {
  if (!(error instanceof Error)) return []
  const own = { code: 'code' in error && typeof error.code === 'string' ? error.code : '', message: error.message }
  const inner = error instanceof AggregateError ? error.errors.flatMap(causes) : []
  return [own, ...inner, ...causes(error.cause)]
}
