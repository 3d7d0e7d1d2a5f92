import type { Readable } from 'node:stream'
import { bodyHead } from '../../https/answers.ts'
import type { Clock } from '../../pipeline/clock.ts'
import type { Counters } from '../../pipeline/counters.ts'
import type { Window } from '../../pipeline/unit.ts'
import type { TapInputConfig } from './config.ts'
import { htmlAnswer, refusal, TapError, transportError } from './errors.ts'
import type { HttpRequest, HttpResponse } from './http.ts'
import type { Asking } from './pool.ts'
import type { TapPools } from './pools.ts'
import type { ServerTime } from './server-time.ts'
import type { RequestTarget } from './targets.ts'
import { writeWindow } from './windows.ts'

export interface ClientDependencies {
  readonly clock: Clock
  readonly request: HttpRequest
  readonly pools: TapPools
  readonly time: ServerTime
  readonly counters: Counters
}

/** An answer to read. Whoever gets it owes a call of `release`, however the reading ended. */
export interface TapAnswer {
  /** Null: nothing is in the window. */
  readonly body: Readable | null
  /** The API's time when the request was sent, not ahead of it; -Infinity where it is not known. */
  readonly requestedAt: number
  /** Makes the body fail. */
  abort(reason: Error): void
  /** Ends the request where it has not ended yet. */
  release(): void
}

/** Sends the requests of one input: each is counted against its pool first, and every answer tells the API's time. */
export class TapClient {
  readonly #input: TapInputConfig
  readonly #deps: ClientDependencies
  readonly #authorization: string
  readonly #secrets: readonly string[]

  constructor(input: TapInputConfig, deps: ClientDependencies) {
    this.#input = input
    this.#deps = deps
    const encoded = Buffer.from(`${input.username}:${input.password}`).toString('base64')
    this.#authorization = `Basic ${encoded}`
    this.#secrets = [encoded, input.password]
  }

  /**
   * Asks for a window as soon as the pool allows it; `window` is called when the request really goes out, and gives null where the endpoint says all. Throws TapError for everything that
   * is not a whole answer to read, and the signal's reason.
   */
  async ask(target: RequestTarget, window: () => Window | null, asking: Omit<Asking, 'member'>): Promise<TapAnswer> {
    const { pools, time, clock } = this.#deps
    const own = new AbortController()
    const forward = (): void => own.abort(asking.signal.reason)
    asking.signal.addEventListener('abort', forward, { once: true })
    let sentAt = 0
    let believed = 0
    try {
      asking.signal.throwIfAborted()
      const response = await pools.of(this.#input, target.pool).send(() => {
        sentAt = clock.monotonic()
        believed = time.isKnown ? time.now() : Infinity
        return this.#send(target, window(), own.signal)
      }, { ...asking, member: target.member })
      const requestedAt = Math.min(believed, time.whenSent(sentAt))
      const body = await this.#accept(response, target)
      body?.on('error', ignore)
      return {
        body,
        requestedAt,
        abort: (reason) => {
          own.abort(reason)
          body?.destroy(reason)
        },
        release: () => {
          asking.signal.removeEventListener('abort', forward)
          own.abort()
          body?.destroy()
        },
      }
    } catch (error) {
      asking.signal.removeEventListener('abort', forward)
      own.abort()
      asking.signal.throwIfAborted()
      throw error
    }
  }

  /** What a failed reading of a body means. */
  failureOf(error: unknown): TapError {
    return transportError(error, new URL(this.#input.baseUrl).origin)
  }

  async #send(target: RequestTarget, window: Window | null, signal: AbortSignal): Promise<HttpResponse> {
    const { request, counters, time } = this.#deps
    const { pool } = target
    const headers = { authorization: this.#authorization, accept: 'application/json', 'user-agent': 'devo-proofpoint-tap-collector' }
    let response: HttpResponse
    try {
      response = await request({ url: this.#url(target, window), headers, signal })
    } catch (error) {
      counters.add('api_requests_total', { pool, status: 'none' })
      throw this.failureOf(error)
    }
    // From here on somebody owes the end of this body; its errors count only where it is read.
    response.body.on('error', ignore)
    if (signal.aborted) response.body.destroy()
    counters.add('api_requests_total', { pool, status: String(response.status) })
    time.observe(response.headers, isOwnAnswer(response))
    return response
  }

  async #accept(response: HttpResponse, { services }: RequestTarget): Promise<Readable | null> {
    const { status, body } = response
    if (status === 204) {
      body.destroy()
      return null
    }
    if (status !== 200) throw refusal(response, await bodyHead(body, this.#secrets), this.#input, services)
    if (isPage(response)) {
      body.destroy()
      throw htmlAnswer(this.#input)
    }
    return body
  }

  #url({ endpoint, services }: RequestTarget, window: Window | null): URL {
    const url = new URL(this.#input.baseUrl.replace(/\/+$/, '') + endpoint)
    if (window === null) return url
    const [{ threatStatuses, threatTypes } = { threatStatuses: [], threatTypes: [] }] = services
    url.searchParams.set('format', 'json')
    url.searchParams.set('interval', writeWindow(window))
    for (const type of threatTypes) url.searchParams.append('threatType', type)
    for (const status of threatStatuses) url.searchParams.append('threatStatus', status)
    return url
  }
}

/** Whether it comes from the API itself, as far as that can be told: not a page for people, nor what a gateway says in its place. */
function isOwnAnswer(response: HttpResponse): boolean {
  const { status } = response
  return (status === 200 || status === 204 || status === 400 || status === 429) && !isPage(response)
}

function isPage({ headers }: HttpResponse): boolean {
  const type = headers['content-type']
  return typeof type === 'string' && /^\s*(text\/html|application\/xhtml)/i.test(type)
}

function ignore(): void {
  // Whoever reads the body sees the error there; a body that nobody reads must not end the process.
}
