import { readFile } from 'node:fs/promises'
import { getCACertificates } from 'node:tls'
import type { Dispatcher } from 'undici'
import type { Clock } from '../pipeline/clock.ts'
import { describeError, isBug, RetryableError } from '../pipeline/errors.ts'
import { createAgent } from './agent.ts'
import type { Headers } from './answers.ts'
import { proxyMistake } from './proxies.ts'

const CONNECT_TIMEOUT_MS = 10_000
const UNTRUSTED = /SELF_SIGNED|UNABLE_TO_|CERT_UNTRUSTED/

export interface ClientConfig {
  /** PEM files; null where the system's authorities and no client certificate do. */
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
  /** For one request from its connection to the end of the answer. */
  readonly timeoutMs: number
}

export interface Request {
  readonly method: string
  readonly origin: string
  /** With what stands behind the `?`. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | string | null
  /** Gives up this request alone. */
  readonly signal?: AbortSignal
}

/** A whole answer. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** One connection at a time. Whoever opens it owes a `close`. */
export interface Client {
  /** Rejects with a RetryableError where no whole answer comes in time, or with the signal's reason. */
  send(request: Request): Promise<Answer>
  /** Ends what is under way. Safe at any time, also twice. */
  close(): Promise<void>
}

export interface ClientSettings {
  readonly clock: Clock
  /** Gives up whatever is under way, then and later. */
  readonly signal: AbortSignal
  readonly largestAnswerBytes: number
  /** The key of the configuration that names the other side, as a message has it. */
  readonly addressKey: string
}

/**
 * By undici: HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured, certificates are always verified (`ca` counts beside the system's own authorities),
 * redirects are not followed. The files are read here, so that new ones count from the next client. Throws a RetryableError that names the file.
 */
export async function openClient(config: ClientConfig, { clock, signal, largestAnswerBytes, addressKey }: ClientSettings): Promise<Client> {
  const mistake = proxyMistake()
  if (mistake !== null) throw new RetryableError(mistake, { code: 'HttpFailed' })
  const [ca, cert, key] = await Promise.all([read(config.ca), read(config.cert), read(config.key)])
  signal.throwIfAborted()
  const tls = {
    timeout: CONNECT_TIMEOUT_MS,
    ...(ca !== null && { ca: [...getCACertificates('default'), ca] }),
    ...(cert !== null && key !== null && { cert, key }),
  }
  // A proxy is no place for the client certificate.
  const { cert: _cert, key: _key, ...proxyTls } = tls
  const agent = createAgent({
    connect: tls,
    requestTls: tls,
    proxyTls,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // The request has one time-out as a whole.
    headersTimeout: 0,
    bodyTimeout: 0,
    allowH2: false,
    connections: 1,
  })
  return {
    async send(request) {
      const signals = request.signal === undefined ? [signal] : [signal, request.signal]
      for (const one of signals) one.throwIfAborted()
      const giveUp = new AbortController()
      const forward = (): void => giveUp.abort(signals.find((one) => one.aborted)?.reason)
      for (const one of signals) one.addEventListener('abort', forward, { once: true })
      const cancel = clock.after(config.timeoutMs, () => {
        giveUp.abort(new RetryableError(`${request.origin} has not answered within ${config.timeoutMs / 1000} s`, { code: 'HttpFailed' }))
      })
      try {
        return await exchange(agent, request, giveUp.signal, largestAnswerBytes, addressKey)
      } catch (error) {
        giveUp.signal.throwIfAborted()
        throw transportError(error, request.origin)
      } finally {
        cancel()
        for (const one of signals) one.removeEventListener('abort', forward)
      }
    },
    close: async () => agent.destroy(),
  }
}

async function exchange(agent: Dispatcher, request: Request, signal: AbortSignal, largestAnswerBytes: number, addressKey: string): Promise<Answer> {
  const { origin, path, method, headers, body } = request
  const response = await agent.request({ origin, path, method, headers, body, signal })
  const pieces: Buffer[] = []
  let length = 0
  for await (const piece of response.body as AsyncIterable<Buffer>) {
    length += piece.length
    if (length > largestAnswerBytes) throw new RetryableError(`the answer of ${origin} is larger than ${largestAnswerBytes / 1024 / 1024} MiB: check ${addressKey}`, { code: 'HttpAnswerUnexpected' })
    pieces.push(piece)
  }
  return { status: response.statusCode, headers: response.headers, text: Buffer.concat(pieces).toString() }
}

async function read(path: string | null): Promise<Buffer | null> {
  if (path === null) return null
  try {
    return await readFile(path)
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    throw new RetryableError(missing ? `there is no file ${path}` : `${path} cannot be read`, { code: 'CertificateUnusable', cause: error })
  }
}

function transportError(error: unknown, origin: string): RetryableError {
  if (error instanceof RetryableError) return error
  if (isBug(error)) throw error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const advice = UNTRUSTED.test(code) ? ' (its authority may be named by tls.ca)' : ''
  return new RetryableError(`sending to ${origin} failed${advice}: ${describeError(error)}`, { code: 'HttpFailed', cause: error })
}
