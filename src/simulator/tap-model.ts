import { Refusal, TAP_ENDPOINTS, THREAT_SUMMARY, writeTime } from './tap-api.ts'
import type { TapEndpoint, TapPool } from './tap-api.ts'
import { jsonBody, syslogBody } from './tap-body.ts'
import type { BodyPlan } from './tap-body.ts'
import { isTransportFault, TapFaults } from './tap-faults.ts'
import type { TapFault, TransportFault } from './tap-faults.ts'
import { readFilters } from './tap-filters.ts'
import { readWindow } from './tap-interval.ts'
import type { TapWindow } from './tap-interval.ts'
import { TapRequestLog } from './tap-quota.ts'
import { Random } from './tap-random.ts'
import { TapEventStore } from './tap-store.ts'
import type { EventSlots } from './tap-store.ts'
import { TapThreats } from './tap-threats.ts'

/** How this API behaves, within what is known of the real one; where that is open, the default is the reading that is hardest on a client. */
export interface TapSettings {
  /** Requests that each pool allows in a rolling 24 hours. */
  readonly quota: number
  /** Whether a request that was refused (429 among it) counts against the quota. */
  readonly countRefused: boolean
  /** Whether the throttle's own 429 says when to come back. */
  readonly retryAfter: boolean
  /** The endpoints that the credential may read, and what lies below them; null: all. Another one is a 403. */
  readonly entitled: readonly string[] | null
  /** Whether a window holds an event exactly on its end. Its start it always holds. */
  readonly endInclusive: boolean
  /** Whether events, and the unordered lists inside them, come in another order at each request. */
  readonly shuffle: boolean
  /** Whether the members of the envelope come in any order as well. */
  readonly shuffleEnvelope: boolean
  /** The content type of JSON: application/json, text/plain, or now this, now that. */
  readonly contentType: 'json' | 'text' | 'mixed'
  /** The server's clock runs ahead of `now` by so much; change it for a jump. */
  readonly clockSkewMs: number
  /** The Date header alone is off by so much. */
  readonly dateSkewMs: number
}

const DEFAULTS: TapSettings = {
  quota: 1_800,
  countRefused: true,
  retryAfter: false,
  entitled: null,
  endInclusive: true,
  shuffle: true,
  shuffleEnvelope: false,
  contentType: 'json',
  clockSkewMs: 0,
  dateSkewMs: 0,
}

export interface TapModelOptions {
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly seed?: number
  readonly username?: string
  readonly password?: string
  readonly settings?: Partial<TapSettings>
}

export interface TapRequest {
  readonly method: string
  /** Without the query. */
  readonly path: string
  /** As it was sent, without its question mark. */
  readonly query: string
  readonly authorization: string | undefined
}

export interface TapAnswer {
  readonly status: number
  /** Names in lower case; without lengths and encodings, which belong to whoever carries the answer. */
  readonly headers: Readonly<Record<string, string>>
  /** Pieces are made while they are read; reading again gives the same bytes. Empty where there is no body. */
  readonly body: Iterable<Uint8Array>
  /** What is to happen to the body on its way, or null. */
  readonly transport: TransportFault | null
}

interface Outcome {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  readonly window: TapWindow | null
  readonly events: number
  readonly plan: BodyPlan | null
  readonly format: 'json' | 'syslog'
}

const PARAMETERS = new Set(['format', 'interval', 'sinceTime', 'sinceSeconds', 'threatType', 'threatStatus'])

/**
 * The TAP SIEM API and the summaries of threats without sockets: refusals, windows, throttle and faults over an injected clock. A simulation calls `handle` straight;
 * the server puts HTTP around it.
 */
export class TapModel {
  readonly events = new TapEventStore()
  readonly log = new TapRequestLog()
  readonly threats: TapThreats
  readonly faults: TapFaults
  readonly username: string
  readonly password: string
  readonly #now: () => number
  readonly #seed: number
  #settings: TapSettings

  constructor({ now, seed = 1, username = 'principal', password = 'secret', settings = {} }: TapModelOptions) {
    this.#now = now
    this.#seed = seed
    this.threats = new TapThreats(seed)
    this.username = username
    this.password = password
    this.#settings = { ...DEFAULTS, ...settings }
    this.faults = new TapFaults(new Random(seed, 'faults'))
  }

  get settings(): TapSettings {
    return this.#settings
  }

  configure(settings: Partial<TapSettings>): void {
    this.#settings = { ...this.#settings, ...settings }
  }

  /** The server's clock, epoch milliseconds. */
  serverTime(): number {
    return this.#now() + this.#settings.clockSkewMs
  }

  handle(request: TapRequest): TapAnswer {
    const now = this.serverTime()
    const endpoint = TAP_ENDPOINTS[request.path]
    const threatId = idIn(request.path)
    const pool = endpoint?.pool ?? (threatId === null ? null : 'threat')
    const number = this.log.entries.length
    const answerOther = (): Outcome => (threatId === null ? refused(new Refusal(404, 'Not Found')) : this.#answerThreat(request, threatId, now))
    const outcome = endpoint === undefined ? answerOther() : this.#answer(request, endpoint, now, number)
    const met = this.faults.meet({ path: request.path, window: outcome.window, now, events: outcome.events })
    const faulty = met.reduce((answer, fault) => applyFault(answer, fault), outcome)
    if (pool !== null) {
      this.log.add({
        time: now,
        pool,
        path: request.path,
        query: request.query,
        window: outcome.window,
        status: faulty.status,
        events: faulty.plan === null ? 0 : outcome.events,
        counted: this.#isKnown(request.authorization) && (this.#settings.countRefused || faulty.status < 300),
      })
    }
    return this.#written(faulty, now, number, met.findLast(isTransportFault) ?? null)
  }

  #answer(request: TapRequest, endpoint: TapEndpoint, now: number, number: number): Outcome {
    let window: TapWindow | null = null
    try {
      const parameters = new URLSearchParams(request.query)
      this.#admit(request, endpoint.pool, now)
      const format = readFormat(parameters)
      const matches = readFilters(parameters)
      window = readWindow(parameters, now)
      const plan = this.#plan(endpoint, window, matches, now, number)
      const events = plan.arrays.reduce((sum, [, slots]) => sum + (typeof slots === 'string' ? 0 : slots.length), 0)
      return { status: 200, headers: {}, text: '', window, events, plan, format }
    } catch (error) {
      if (error instanceof Refusal) return { ...refused(error), ...this.#throttleHeaders(error, endpoint.pool, now), window }
      throw error
    }
  }

  #answerThreat(request: TapRequest, id: string, now: number): Outcome {
    try {
      this.#admit(request, 'threat', now)
      const summary = this.threats.find(id)
      if (summary === null) throw new Refusal(404, 'Not Found')
      return { ...refused(new Refusal(200, summary)), headers: { 'content-type': 'application/json;charset=UTF-8' } }
    } catch (error) {
      if (error instanceof Refusal) return { ...refused(error), ...this.#throttleHeaders(error, 'threat', now) }
      throw error
    }
  }

  #admit({ method, path, query, authorization }: TapRequest, pool: TapPool, now: number): void {
    if (method !== 'GET') throw new Refusal(405, 'Method Not Allowed')
    if (!this.#isKnown(authorization) || decode(authorization) !== `${this.username}:${this.password}`) throw new Refusal(401, 'Unauthorized')
    const { entitled, quota } = this.#settings
    if (entitled !== null && !entitled.some((allowed) => path === allowed || path.startsWith(`${allowed}/`))) throw new Refusal(403, 'Forbidden')
    if (pool !== 'threat' && this.log.used(pool, now) >= quota) throw new Refusal(429, 'Too Many Requests')
    for (const name of new URLSearchParams(query).keys()) {
      if (pool === 'threat' || !PARAMETERS.has(name)) throw new Refusal(400, `The parameter ${name} is not known.`)
    }
  }

  /** Whether the throttle can tell whose request it is. */
  #isKnown(authorization: string | undefined): boolean {
    return decode(authorization)?.startsWith(`${this.username}:`) ?? false
  }

  #throttleHeaders({ status }: Refusal, pool: TapPool, now: number): Pick<Outcome, 'headers'> {
    if (status === 401) return { headers: { 'www-authenticate': 'Basic realm="TAP"' } }
    if (status === 405) return { headers: { allow: 'GET' } }
    if (status !== 429 || !this.#settings.retryAfter) return { headers: {} }
    return { headers: { 'retry-after': String(Math.max(1, Math.ceil((this.log.freeAt(pool, now) - now) / 1_000))) } }
  }

  #plan({ arrays }: TapEndpoint, { from, to }: TapWindow, matches: BodyPlan['matches'], now: number, number: number): BodyPlan {
    const { endInclusive, shuffle, shuffleEnvelope } = this.#settings
    const select = (array: (typeof arrays)[number]): EventSlots => this.events.select(array, from, endInclusive ? to : to - 1, now)
    const order = shuffleEnvelope ? new Random(this.#seed, number, 'envelope').shuffled(arrays) : arrays
    return {
      queryEndTime: writeTime(to),
      queryEndLast: shuffleEnvelope && number % 2 === 1,
      arrays: order.map((array) => [array, select(array)]),
      matches,
      orderSeed: shuffle ? [this.#seed, number] : null,
      trailing: '',
    }
  }

  #written({ status, headers, text, plan, format }: Outcome, now: number, number: number, transport: TransportFault | null): TapAnswer {
    const date = new Date(now + this.#settings.dateSkewMs).toUTCString()
    const headersFor = (type: string) => ({ date, 'content-type': `${type};charset=UTF-8`, ...headers })
    if (plan === null) return { status, headers: headersFor('text/plain'), body: text === '' ? [] : [Buffer.from(text)], transport }
    if (format === 'syslog') {
      const body = syslogBody(plan)
      const isEmpty = body[Symbol.iterator]().next().done === true
      return isEmpty ? { status: 204, headers: { date, ...headers }, body: [], transport } : { status, headers: headersFor('text/plain'), body, transport }
    }
    const { contentType } = this.#settings
    const isText = contentType === 'text' || (contentType === 'mixed' && new Random(this.#seed, number, 'type').chance(0.5))
    return { status, headers: headersFor(isText ? 'text/plain' : 'application/json'), body: jsonBody(plan), transport }
  }
}

function refused({ status, message }: Refusal): Outcome {
  return { status, headers: {}, text: message, window: null, events: 0, plan: null, format: 'json' }
}

/** Of the threat whose summary is asked for, or null where none is. */
function idIn(path: string): string | null {
  const [, id] = new RegExp(`^${THREAT_SUMMARY}/([^/]+)$`).exec(path) ?? []
  return id === undefined ? null : decodeURIComponent(id)
}

function decode(authorization: string | undefined): string | null {
  const match = /^Basic ([A-Za-z0-9+/]+={0,2})$/i.exec(authorization ?? '')
  return match?.[1] === undefined ? null : Buffer.from(match[1], 'base64').toString()
}

function readFormat(parameters: URLSearchParams): 'json' | 'syslog' {
  const format = (parameters.get('format') ?? 'syslog').toLowerCase()
  if (format !== 'json' && format !== 'syslog') throw new Refusal(400, 'The parameter format is malformed. It is json or syslog.')
  return format
}

function applyFault(outcome: Outcome, fault: TapFault): Outcome {
  const { plan } = outcome
  switch (fault.kind) {
    case 'status': {
      const retryAfter = fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) }
      return { ...outcome, status: fault.status, headers: { ...outcome.headers, ...retryAfter }, text: fault.body ?? '', plan: null }
    }
    case 'html': {
      const text = '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in to the network.</body></html>\n'
      return { ...outcome, status: 200, headers: { ...outcome.headers, 'content-type': 'text/html;charset=UTF-8' }, text, plan: null }
    }
    case 'empty':
      return { ...outcome, status: 200, text: '', plan: null }
    case 'too-many':
      return { ...outcome, status: 500, text: 'Results cannot be obtained within the timeout period.', plan: null }
    case 'headers':
      return { ...outcome, headers: { ...outcome.headers, ...fault.headers } }
    case 'missing-array':
      return plan === null ? outcome : { ...outcome, plan: { ...plan, arrays: [] } }
    case 'array':
      return plan === null ? outcome : { ...outcome, plan: { ...plan, arrays: plan.arrays.map(([array]) => [array, fault.text]) } }
    case 'trailing':
      return plan === null ? outcome : { ...outcome, plan: { ...plan, trailing: fault.text } }
    case 'query-end':
      return plan === null || outcome.window === null ? outcome : { ...outcome, plan: endEarlier(plan, outcome.window.to - fault.lagMs) }
    default:
      return outcome
  }
}

function endEarlier(plan: BodyPlan, end: number): BodyPlan {
  return { ...plan, queryEndTime: writeTime(end), matches: (event) => event.createdAt <= end && plan.matches(event) }
}
