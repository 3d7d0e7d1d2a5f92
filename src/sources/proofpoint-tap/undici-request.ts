import { readFile } from 'node:fs/promises'
import { pipeline, type Duplex, type Readable } from 'node:stream'
import { getCACertificates } from 'node:tls'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { Dispatcher } from 'undici'
import { createAgent } from '../../https/agent.ts'
import { proxyMistake } from '../../https/proxies.ts'
import { describeError, RetryableError } from '../../pipeline/errors.ts'
import { TapError } from './errors.ts'
import type { HttpRequest } from './http.ts'
import { MINUTE_MS, SECOND_MS } from './windows.ts'

const CONNECT_TIMEOUT_MS = 10 * SECOND_MS
/** The API works on a large window for a while before it answers. */
const HEADERS_TIMEOUT_MS = 2 * MINUTE_MS
const BODY_IDLE_TIMEOUT_MS = 2 * MINUTE_MS
const ACCEPTED_ENCODINGS = 'gzip, deflate, br'

export interface HttpClient {
  readonly request: HttpRequest
  /** Ends all connections, those in use as well. */
  close(): Promise<void>
}

/**
 * Requests by undici: HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured, certificates are verified always (`ca`, a PEM file, counts beside the
 * system's own authorities), redirects are not followed. undici is loaded with the first request, for that takes a while.
 */
export function createHttpClient({ ca, timeouts = {} }: {
  readonly ca: string | null
  readonly timeouts?: { readonly connectMs?: number; readonly headersMs?: number; readonly bodyIdleMs?: number }
}): HttpClient {
  let opening: Promise<Dispatcher> | null = null
  let isClosed = false
  const { connectMs = CONNECT_TIMEOUT_MS, headersMs = HEADERS_TIMEOUT_MS, bodyIdleMs = BODY_IDLE_TIMEOUT_MS } = timeouts

  async function open(): Promise<Dispatcher> {
    const mistake = proxyMistake()
    if (mistake !== null) throw new TapError('unreachable', mistake)
    const authorities = ca === null ? {} : { ca: [...getCACertificates('default'), await readAuthorities(ca)] }
    const tls = { timeout: connectMs, ...authorities }
    return createAgent({
      connect: tls,
      requestTls: tls,
      proxyTls: tls,
      connectTimeout: connectMs,
      headersTimeout: headersMs,
      bodyTimeout: bodyIdleMs,
      allowH2: false,
    })
  }

  return {
    async request({ url, headers, signal }) {
      if (isClosed) throw new RetryableError('the HTTP client is closed', { code: 'ApiUnreachable' })
      opening ??= open()
      let dispatcher: Dispatcher
      try {
        dispatcher = await opening
      } catch (error) {
        // Perhaps the file of certificates comes back.
        opening = null
        throw error
      }
      const { statusCode, headers: received, body } = await dispatcher.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: 'GET',
        headers: { 'accept-encoding': ACCEPTED_ENCODINGS, ...headers },
        signal,
      })
      return { status: statusCode, headers: received, body: decoded(body, received['content-encoding']) }
    },
    async close() {
      isClosed = true
      const dispatcher = await opening?.catch(() => null)
      await dispatcher?.destroy()
    },
  }
}

async function readAuthorities(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new RetryableError(`the certificate authorities for base_url (tls.ca) cannot be read: ${describeError(error)}`, { code: 'ApiAuthoritiesUnreadable', cause: error })
  }
}

/** An answer that is cut off inside its compression fails as well. */
function decoded(body: Readable, encoding: string | string[] | undefined): Readable {
  const names = [encoding ?? []].flat().join(',').split(',').map((name) => name.trim().toLowerCase())
  return names.reverse().reduce((stream, name) => {
    const decoder = decoderFor(name)
    return decoder === null ? stream : pipeline(stream, decoder, () => undefined)
  }, body)
}

function decoderFor(encoding: string): Duplex | null {
  switch (encoding) {
    case '':
    case 'identity':
      return null
    case 'gzip':
    case 'x-gzip':
      return createGunzip()
    case 'deflate':
      return createInflate()
    case 'br':
      return createBrotliDecompress()
    default:
      throw new RetryableError(`the answer comes in an encoding that was not asked for (${encoding.slice(0, 40)})`, { code: 'ApiAnswerMalformed' })
  }
}
