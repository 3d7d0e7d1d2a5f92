import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { systemClock } from '../../pipeline/clock.ts'

/** So many look on at once; whoever comes later asks now and then instead. */
const MOST_VIEWERS = 20
const TELL_EVERY_MS = 2_000
/** Whoever takes nothing for a minute only keeps others out. */
const MOST_MISSED = 30

const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}

const FILES: Readonly<Record<string, { readonly file: string; readonly type: string }>> = {
  '/': { file: 'page.html', type: 'text/html; charset=utf-8' },
  '/page.css': { file: 'page.css', type: 'text/css; charset=utf-8' },
  ...Object.fromEntries(['page', 'page-dom', 'page-feed', 'page-words'].map((name) => [`/${name}.js`, { file: `${name}.js`, type: 'text/javascript; charset=utf-8' }])),
}

export interface StatusPageOptions {
  /** The state as JSON text in one line, without secrets. It may reject; then those who look on hear nothing until it can be read again. */
  readonly read: () => Promise<string>
  /** The address that is listened on, and whether a reader must show a token. */
  readonly host: string
  readonly hasToken: boolean
}

/**
 * The page at `/` and what it shows, as `/status.json` and as server-sent events. The files hold nothing of the collector, so they are for everybody;
 * the state is for whoever is trusted. While nobody looks on, nothing is read and no timer runs.
 */
export class StatusPage {
  readonly #options: StatusPageOptions
  /** Each with how often in a row it had not taken the state before. */
  readonly #viewers = new Map<ServerResponse, number>()
  #cancel: (() => void) | null = null
  #isReading = false

  constructor(options: StatusPageOptions) {
    this.#options = options
  }

  /** Answers a GET or HEAD of one of its paths; false: the path is not one of them. */
  handle(request: IncomingMessage, response: ServerResponse, path: string, isTrusted: () => boolean): boolean {
    const known = Object.hasOwn(FILES, path) ? FILES[path] : undefined
    if (known !== undefined) void this.#sendFile(response, known)
    else if (path !== '/status.json' && path !== '/status/events') return false
    else if (!isTrusted()) {
      response.setHeader('www-authenticate', 'Bearer')
      send(response, 401, 'text/plain; charset=utf-8', 'the state is for whoever sends the token of globals.http as Authorization: Bearer TOKEN\n')
    } else if (!isMeant(request, this.#options)) send(response, 421, 'text/plain; charset=utf-8', 'ask for it as localhost or by its address; by other names only with a token\n')
    else if (path === '/status.json') void this.#sendState(response)
    else this.#admit(request, response)
    return true
  }

  close(): void {
    this.#cancel?.()
    this.#cancel = null
    for (const viewer of this.#viewers.keys()) viewer.destroy()
    this.#viewers.clear()
  }

  async #sendFile(response: ServerResponse, { file, type }: { readonly file: string; readonly type: string }): Promise<void> {
    try {
      send(response, 200, type, await readFile(new URL(file, import.meta.url), 'utf8'))
    } catch {
      send(response, 500, 'text/plain; charset=utf-8', 'the page is not complete; install the collector again\n')
    }
  }

  async #sendState(response: ServerResponse): Promise<void> {
    try {
      send(response, 200, 'application/json', `${await this.#options.read()}\n`)
    } catch {
      send(response, 503, 'text/plain; charset=utf-8', 'the state cannot be read\n')
    }
  }

  #admit(request: IncomingMessage, response: ServerResponse): void {
    if (this.#viewers.size >= MOST_VIEWERS) {
      response.setHeader('retry-after', '60')
      send(response, 503, 'text/plain; charset=utf-8', 'too many look on already; /status.json answers\n')
      return
    }
    response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' })
    if (request.method === 'HEAD') {
      response.end()
      return
    }
    response.flushHeaders()
    this.#viewers.set(response, 0)
    response.once('close', () => {
      this.#viewers.delete(response)
      if (this.#viewers.size > 0) return
      this.#cancel?.()
      this.#cancel = null
    })
    void this.#tell()
  }

  /** Whoever has not taken the last state yet misses this one: the next one says it all. */
  async #tell(): Promise<void> {
    if (this.#isReading) return
    this.#isReading = true
    this.#cancel?.()
    this.#cancel = null
    // A comment says that somebody is here.
    const text = await this.#options.read().then((state) => `data: ${state}\n\n`, () => ': the state cannot be read\n\n')
    this.#isReading = false
    for (const [viewer, missed] of this.#viewers) {
      this.#viewers.set(viewer, viewer.writableNeedDrain ? missed + 1 : 0)
      if (!viewer.writableNeedDrain) viewer.write(text)
      else if (missed >= MOST_MISSED) viewer.destroy()
    }
    if (this.#viewers.size > 0) this.#cancel = systemClock.after(TELL_EVERY_MS, () => void this.#tell())
  }
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

export function isLoopback(host: string): boolean {
  const family = isIP(host)
  return family === 0 ? /^([^.]+\.)*localhost$/i.test(host) : LOOPBACK.check(host, family === 4 ? 'ipv4' : 'ipv6')
}

/**
 * A site of somebody else may give its own name this machine's address, and its script may then ask here like the page itself: the name gives it away. Who
 * listens beyond the loopback, as an image does, may have neighbours that ask by a short name (a container's, a service's), which no web site has.
 */
export function isMeant({ headers }: IncomingMessage, { host, hasToken }: Pick<StatusPageOptions, 'host' | 'hasToken'>): boolean {
  if (hasToken) return true
  const name = (headers.host ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
  return isLoopback(name) || name === host || (!isLoopback(host) && (isIP(name) !== 0 || !name.includes('.')))
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { ...HEADERS, 'content-type': type })
  response.end(text)
}
