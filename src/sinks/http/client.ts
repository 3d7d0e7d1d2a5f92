import { readFile } from 'node:fs/promises'
import { getCACertificates } from 'node:tls'
import type { Dispatcher } from 'undici'
import { createAgent } from '../../https/agent.ts'
import { proxyMistake } from '../../https/proxies.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { describeError, isBug, RetryableError } from '../../pipeline/errors.ts'
import type { HttpConfig } from './config.ts'
import type { Answer } from './format.ts'

const CONNECT_TIMEOUT_MS = 10_000
/** The answer to the largest bulk request is smaller. */
const LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
const USER_AGENT = 'devo-proofpoint-tap-collector'
const UNTRUSTED = /SELF_SIGNED|UNABLE_TO_|CERT_UNTRUSTED/

export type ClientConfig = Pick<HttpConfig, 'ca' | 'cert' | 'key' | 'headers' | 'authorization' | 'timeoutMs'>

/** The connections of one shipment. Whoever opens it owes a `close`. */
export interface Client {
  /** Rejects with a RetryableError where no whole answer comes in time, or with the signal's reason. */
  post(url: URL, headers: Readonly<Record<string, string>>, body: Uint8Array): Promise<Answer>
  /** Ends what is under way. Safe at any time, also twice. */
  close(): Promise<void>
}

/**
 * By undici: HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured, certificates are always verified (`ca` counts beside the system's own authorities),
 * redirects are not followed. The files are read here, so that new ones count from the next shipment. Throws a RetryableError that names the file.
 */
export async function openClient(config: ClientConfig, clock: Clock, signal: AbortSignal): Promise<Client> {
  const mistake = proxyMistake()
  if (mistake !== null) throw new RetryableError(mistake)
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
  const own = { 'user-agent': USER_AGENT, accept: 'application/json', ...(config.authorization !== null && { authorization: config.authorization }) }
  return {
    async post(url, headers, body) {
      signal.throwIfAborted()
      const giveUp = new AbortController()
      const forward = (): void => giveUp.abort(signal.reason)
      signal.addEventListener('abort', forward, { once: true })
      const cancel = clock.after(config.timeoutMs, () => {
        giveUp.abort(new RetryableError(`${url.origin} has not answered within ${config.timeoutMs / 1000} s`))
      })
      try {
        return await exchange(agent, url, { ...own, ...headers, ...lowerCased(config.headers) }, body, giveUp.signal)
      } catch (error) {
        giveUp.signal.throwIfAborted()
        throw transportError(error, url)
      } finally {
        cancel()
        signal.removeEventListener('abort', forward)
      }
    },
    close: async () => agent.destroy(),
  }
}

async function exchange(
  agent: Dispatcher,
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<Answer> {
  const response = await agent.request({ origin: url.origin, path: `${url.pathname}${url.search}`, method: 'POST', headers, body, signal })
  const pieces: Buffer[] = []
  let length = 0
  for await (const piece of response.body as AsyncIterable<Buffer>) {
    length += piece.length
    if (length > LARGEST_ANSWER_BYTES) throw new RetryableError(`the answer of ${url.origin} is larger than ${LARGEST_ANSWER_BYTES / 1024 / 1024} MiB: check url`)
    pieces.push(piece)
  }
  return { status: response.statusCode, headers: response.headers, text: Buffer.concat(pieces).toString() }
}

/** So that a name in another spelling takes the place of ours and does not stand beside it. */
function lowerCased(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

async function read(path: string | null): Promise<Buffer | null> {
  if (path === null) return null
  try {
    return await readFile(path)
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    throw new RetryableError(missing ? `there is no file ${path}` : `${path} cannot be read`, { cause: error })
  }
}

function transportError(error: unknown, url: URL): RetryableError {
  if (error instanceof RetryableError) return error
  if (isBug(error)) throw error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const advice = UNTRUSTED.test(code) ? ' (its authority may be named by tls.ca)' : ''
  return new RetryableError(`sending to ${url.origin} failed${advice}: ${describeError(error)}`, { cause: error })
}
