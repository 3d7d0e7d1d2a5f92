import { Readable } from 'node:stream'
import { printable } from '../../https/answers.ts'
import type { Answer, Client } from '../../https/client.ts'
import { RetryableError } from '../../pipeline/errors.ts'

const SHOWN_CHARACTERS = 200
/** S3's own, and that of the services which give out credentials. */
const ERROR_DOCUMENT = /<(?:\w+:)?Error(?:Response)?[\s>]/

/** What a call of the SDK is given beside the command. */
export interface CallOptions {
  /** Carries the request; left out where the SDK asks on its own account, for credentials. */
  readonly client?: Client
  readonly abortSignal?: AbortSignal
}

/** A request as the SDK makes it, signed. */
export interface SdkRequest {
  readonly method: string
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** A whole answer in the form that the SDK reads. */
export interface SdkAnswer {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readable
}

/**
 * Carries the SDK's requests over the collector's own HTTPS client: proxies, authorities, time-outs and the end of connections are as everywhere.
 * `open` makes a client for a request of the SDK's own. Fails with a RetryableError where what answers is no S3.
 */
export function requestHandler(open: () => Promise<Client>) {
  return {
    metadata: { handlerProtocol: 'http/1.1' },
    async handle(request: SdkRequest, options: CallOptions = {}): Promise<{ response: SdkAnswer }> {
      if (options.client !== undefined) return { response: await ask(options.client, request, options.abortSignal) }
      const client = await open()
      try {
        return { response: await ask(client, request, options.abortSignal) }
      } finally {
        await client.close()
      }
    },
    updateHttpClientConfig: () => undefined,
    httpHandlerConfigs: () => ({}),
    destroy: () => undefined,
  }
}

async function ask(client: Client, request: SdkRequest, signal: AbortSignal | undefined): Promise<SdkAnswer> {
  const { method, protocol, hostname, port, path, headers, body } = request
  const origin = `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`
  const query = queryOf(request.query ?? {})
  const answer = await client.send({
    method, origin, path: query === '' ? path : `${path}?${query}`, headers, body: bodyOf(body), ...(signal !== undefined && { signal }),
  })
  if (answer.status >= 300 && !ERROR_DOCUMENT.test(answer.text)) throw foreignAnswer(answer, origin)
  const flat = Object.entries(answer.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')])
  return { statusCode: answer.status, headers: Object.fromEntries(flat) as Record<string, string>, body: Readable.from([Buffer.from(answer.text)]) } // as made above
}

function foreignAnswer({ status, text }: Answer, origin: string): RetryableError {
  const shown = printable(text.replace(/<[^>]*>/g, ' '), SHOWN_CHARACTERS)
  const what = `${origin} answers ${status}${shown === '' ? '' : `: ${shown}`}`
  return new RetryableError(status >= 500 || status === 429 ? what : `${what}: check endpoint, region and bucket, for this is no answer of S3`, { code: 'S3AnswerUnexpected' })
}

/** Encoded as it was signed. */
function queryOf(query: NonNullable<SdkRequest['query']>): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((one: unknown) => [name, one] as const))
  return pairs.map(([name, value]) => (typeof value === 'string' ? `${encoded(name)}=${encoded(value)}` : encoded(name))).join('&')
}

function encoded(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

function bodyOf(body: unknown): Uint8Array | string | null {
  if (body === undefined || body === null) return null
  if (typeof body === 'string' || body instanceof Uint8Array) return body
  throw new TypeError('a request whose body is a stream')
}
