import type { Api, Asked, Told } from './destination.ts'

export const TOKEN = '5a8b3c1e-0000-4a4a-9c9c-123456789abc'
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const KNOWN = new Set(['time', 'host', 'source', 'sourcetype', 'index', 'event', 'fields'])

export interface Wrapped {
  readonly time: number
  readonly host: string
  readonly source: string
  readonly sourcetype: string
  readonly index?: string
  readonly fields: Readonly<Record<string, string>>
  readonly event: object
}

/**
 * Splunk's HTTP Event Collector with the answers of its documentation: status, text and code, the checks in its order, objects one behind the other
 * without a comma, and acknowledgement by channel. An id is told once and forgotten.
 */
export class SplunkApi {
  /** Taken, and with acknowledgement also indexed. */
  readonly indexed: Wrapped[] = []
  readonly acknowledges: boolean
  readonly indexes = new Set(['main', 'tap-clicksBlocked'])
  /** Which request is indexed when it is asked for; the default: each is. */
  isIndexed = (_id: number): boolean => true
  #channels = new Map<string, { next: number; readonly pending: Map<number, Wrapped[]> }>()

  constructor(acknowledges: boolean) {
    this.acknowledges = acknowledges
  }

  get events(): string[] {
    return this.indexed.map(({ event }) => JSON.stringify(event))
  }

  /** Everything that was not indexed is lost, and the ids begin at 0 again. */
  restart(): void {
    this.#channels = new Map()
  }

  readonly answer: Api = (asked): Told => {
    const { method, path, headers } = asked
    const isAck = path === '/services/collector/ack'
    if (!isAck && path !== '/services/collector/event' && path !== '/services/collector') return told(404, 404, 'The requested URL was not found on this server.')
    if (method !== 'POST') return told(405, 405, 'Method Not Allowed')
    const { authorization } = headers
    if (authorization === undefined) return told(401, 2, 'Token is required')
    if (!authorization.startsWith('Splunk ')) return told(401, 3, 'Invalid authorization')
    if (authorization !== `Splunk ${TOKEN}`) return told(403, 4, 'Invalid token')
    const channel = headers['x-splunk-request-channel']
    if (isAck && !this.acknowledges) return told(400, 14, 'ACK is disabled')
    if (this.acknowledges && channel === undefined) return told(400, 10, 'Data channel is missing')
    if (this.acknowledges && !UUID.test(String(channel))) return told(400, 11, 'Invalid data channel')
    return isAck ? this.#acks(asked, String(channel)) : this.#events(asked, String(channel))
  }

  #events({ body }: Asked, channel: string): Told {
    if (body === '') return told(400, 5, 'No data')
    const events: Wrapped[] = []
    for (const [number, text] of objectsOf(body).entries()) {
      const wrong = this.#wrong(text)
      if (wrong !== null) return told(400, wrong[0], wrong[1], { 'invalid-event-number': number })
      // `#wrong` has looked at it
      events.push(JSON.parse(text) as Wrapped)
    }
    if (!this.acknowledges) {
      this.indexed.push(...events)
      return told(200, 0, 'Success')
    }
    const state = this.#channels.get(channel) ?? { next: 0, pending: new Map<number, Wrapped[]>() }
    this.#channels.set(channel, state)
    const ackId = state.next++
    state.pending.set(ackId, events)
    return told(200, 0, 'Success', { ackId })
  }

  #acks({ body }: Asked, channel: string): Told {
    const asked: unknown = JSON.parse(body)
    const ids: unknown = typeof asked === 'object' && asked !== null && 'acks' in asked ? asked.acks : null
    if (!Array.isArray(ids)) return told(400, 6, 'Invalid data format')
    const pending = this.#channels.get(channel)?.pending
    return {
      status: 200,
      body: {
        acks: Object.fromEntries(ids.map((id: unknown) => {
          const events = typeof id === 'number' && this.isIndexed(id) ? pending?.get(id) : undefined
          if (events === undefined) return [String(id), false]
          pending?.delete(Number(id))
          this.indexed.push(...events)
          return [String(id), true]
        })),
      },
    }
  }

  #wrong(text: string): readonly [code: number, text: string] | null {
    let parsed: unknown
    try {
      parsed = JSON.parse(text)
    } catch {
      return [6, 'Invalid data format']
    }
    if (typeof parsed !== 'object' || parsed === null || Object.keys(parsed).some((key) => !KNOWN.has(key))) return [6, 'Invalid data format']
    const { time, host, source, sourcetype, index, fields, event } = parsed as Readonly<Record<string, unknown>> // an object has text keys
    if (event === undefined) return [12, 'Event field is required']
    if (event === '' || event === null) return [13, 'Event field cannot be blank']
    if (typeof time !== 'number' || [host, source, sourcetype].some((one) => typeof one !== 'string')) return [6, 'Invalid data format']
    if (fields !== undefined && (typeof fields !== 'object' || fields === null || Object.values(fields).some((one) => typeof one !== 'string'))) return [15, 'Error in handling indexed fields']
    if (index !== undefined && !(typeof index === 'string' && this.indexes.has(index))) return [7, 'Incorrect index']
    return typeof event === 'object' && 'bad' in event ? [6, 'Invalid data format'] : null
  }
}

function told(status: number, code: number, text: string, more: object = {}): Told {
  return { status, headers: { 'content-type': 'application/json' }, body: { text, code, ...more } }
}

/** Objects that stand one behind the other. */
function objectsOf(body: string): string[] {
  const objects: string[] = []
  let depth = 0
  let start = 0
  let inText = false
  for (let at = 0; at < body.length; at++) {
    const char = body[at]
    if (inText) {
      if (char === '\\') at += 1
      else if (char === '"') inText = false
    } else if (char === '"') inText = true
    else if (char === '{') depth += 1
    else if (char === '}' && --depth === 0) {
      objects.push(body.slice(start, at + 1).trim())
      start = at + 1
    }
  }
  const rest = body.slice(start).trim()
  return rest === '' ? objects : [...objects, rest]
}
