import { once } from 'node:events'
import http from 'node:http'
import { text } from 'node:stream/consumers'
import { hostileEvent, TapTraffic } from './events.ts'
import type { TrafficOptions } from './events.ts'
import { TAP_ARRAYS } from './tap-api.ts'
import type { TapArray } from './tap-api.ts'
import type { TapFault } from './tap-faults.ts'
import type { TapSettings } from './tap-model.ts'
import type { TapServer } from './tap-server.ts'
import type { TapEvent } from './tap-store.ts'

/**
 * What `POST /_control` takes, as JSON; every member may be left out, and they are done in this order. Times are epoch milliseconds.
 * The answer, as that of `GET /_control`, is a `TapState`. `GET /_control/log` lists every request.
 */
export interface TapCommand {
  readonly settings?: Partial<TapSettings>
  readonly clearFaults?: boolean
  readonly faults?: readonly TapFault[]
  /** `base64` stands for a `content` of bytes. */
  readonly events?: readonly (Omit<TapEvent, 'content'> & { readonly content?: object | string; readonly base64?: string })[]
  readonly hostile?: readonly { readonly kind: string; readonly service: TapArray; readonly createdAt: number }[]
  readonly traffic?: readonly (Omit<TrafficOptions, 'perHour'> & { readonly perHour: number })[]
  readonly connections?: 'refuse' | 'accept' | 'drop'
}

export interface TapState {
  readonly serverTime: number
  readonly baseUrl: string
  readonly requests: number
  /** Counted requests of the last 24 hours. */
  readonly used: { readonly siem: number; readonly clicks_permitted: number }
  readonly answering: number
  readonly bodyBytes: number
  readonly addedEvents: number
  readonly faults: readonly { readonly fault: TapFault; readonly met: number }[]
  readonly settings: TapSettings
}

const FAULTS = new Set([
  'status', 'html', 'empty', 'missing-array', 'array', 'trailing', 'too-many', 'headers', 'query-end', 'truncate', 'reset', 'stall', 'drip',
])
const MEMBERS = new Set(['settings', 'clearFaults', 'faults', 'events', 'hostile', 'traffic', 'connections'])

/** Steers a TapServer of another process: plain HTTP on a loopback port of its own, for end-to-end tests. */
export class TapControl {
  readonly #tap: TapServer
  readonly #server: http.Server
  #port = 0

  constructor(tap: TapServer) {
    this.#tap = tap
    this.#server = http.createServer((request, response) => {
      this.#answer(request)
        .then((body) => response.setHeader('content-type', 'application/json').end(`${JSON.stringify(body)}\n`))
        .catch((error: unknown) => {
          response.statusCode = 400
          response.end(`${error instanceof Error ? error.message : String(error)}\n`)
        })
    })
  }

  async start(port = 0): Promise<this> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    if (address !== null && typeof address === 'object') this.#port = address.port
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/_control`
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  state(): TapState {
    const { model, baseUrl, answering, bodyBytes } = this.#tap
    const serverTime = model.serverTime()
    return {
      serverTime,
      baseUrl,
      requests: model.log.entries.length,
      used: { siem: model.log.used('siem', serverTime), clicks_permitted: model.log.used('clicks_permitted', serverTime) },
      answering,
      bodyBytes,
      addedEvents: model.events.added,
      faults: model.faults.list(),
      settings: model.settings,
    }
  }

  async #answer(request: http.IncomingMessage): Promise<unknown> {
    const body = await text(request)
    if (request.url === '/_control/log') return this.#tap.model.log.entries
    if (request.url !== '/_control') throw new Error('there is /_control and /_control/log')
    if (request.method === 'POST') await this.#obey(readCommand(body))
    return this.state()
  }

  async #obey({ settings, clearFaults, faults = [], events = [], hostile = [], traffic = [], connections }: TapCommand): Promise<void> {
    const { model } = this.#tap
    const added = events.map(readEvent)
    if (settings !== undefined) model.configure(settings)
    if (clearFaults === true) model.faults.clear()
    for (const fault of faults) model.faults.set(fault)
    model.events.add(...added, ...hostile.map(({ kind, service, createdAt }) => hostileEvent(kind, service, createdAt)))
    for (const options of traffic) model.events.supply(new TapTraffic(options))
    if (connections !== undefined && connections !== 'accept') this.#tap.refuseConnections()
    if (connections === 'drop') this.#tap.disconnectAll()
    if (connections === 'accept' || connections === 'drop') await this.#tap.acceptConnections()
  }
}

function readCommand(body: string): TapCommand {
  const command: unknown = JSON.parse(body)
  if (typeof command !== 'object' || command === null) throw new Error('the command is not a JSON object')
  const unknown = Object.keys(command).find((name) => !MEMBERS.has(name))
  if (unknown !== undefined) throw new Error(`there is no command '${unknown}'; known are ${[...MEMBERS].join(', ')}`)
  // Written by tests against TapCommand; what a slip breaks most easily is looked at here.
  const typed = command as TapCommand
  const fault = typed.faults?.find(({ kind }) => !FAULTS.has(kind))
  if (fault !== undefined) throw new Error(`there is no fault '${fault.kind}'; known are ${[...FAULTS].join(', ')}`)
  return typed
}

function readEvent({ content, base64, ...event }: NonNullable<TapCommand['events']>[number]): TapEvent {
  if (!TAP_ARRAYS.includes(event.service)) throw new Error(`there is no service '${event.service}'; known are ${TAP_ARRAYS.join(', ')}`)
  if (!Number.isFinite(event.createdAt)) throw new Error('an event needs createdAt, in epoch milliseconds')
  if (base64 !== undefined) return { ...event, content: Buffer.from(base64, 'base64') }
  if (content === undefined) throw new Error('an event needs content or base64')
  return { ...event, content }
}
