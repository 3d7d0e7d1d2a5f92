import { hash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import { label } from '../pipeline/codes.ts'
import type { Gap, Hole } from '../pipeline/unit.ts'
import { limitConnections, together, withoutFloods } from './connections.ts'
import { Exposure } from './exposure.ts'
import { isLoopback, isMeant, StatusPage } from './page/status-page.ts'

export interface Readiness {
  readonly ready: boolean
  readonly role: 'active' | 'standby'
  /** Why parts cannot make progress now. `code` is the label that the log has too, null for what is no trouble. */
  readonly reasons: readonly { readonly part: string; readonly code: string | null; readonly reason: string; readonly since: string }[]
  /** What is known to be missing; none of it stops progress. */
  readonly holes: readonly ({ readonly part: string } & Hole)[]
  readonly gaps: readonly ({ readonly part: string } & Gap)[]
}

export interface HealthServer {
  /** Null where the port was busy. */
  readonly port: number | null
  close(): Promise<void>
}

/**
 * `/healthz` is 200 while the process lives, `/readyz` 503 with the reasons while a service or an output cannot make progress, `/metrics` what
 * Prometheus scrapes, `/` the status page. Where a token is set, whoever does not send it as `Authorization: Bearer ...` learns the verdict of `/readyz` alone, for probes
 * need no more and the reasons name hosts, and gets neither metrics nor what the page shows. So does, without a token, whoever asks by a name that may be
 * a web site's: on a loopback address any but this machine's own, else any with a dot in it. Without a token an address beyond the loopback is a warning: at once where the
 * configuration names it, else (in an image, which has to listen there) when somebody from beyond this machine's networks comes.
 */
export async function startHealthServer(options: {
  readonly host: string
  /** The configuration names the host; else it is the surroundings' default. */
  readonly isHostGiven: boolean
  readonly port: number
  readonly token: string | null
  readonly log: Logger
  readonly readiness: () => Promise<Readiness>
  readonly metrics: { readonly contentType: string; text(): Promise<string> }
  /** What the status page shows, as JSON text in one line. */
  readonly state: () => Promise<string>
}): Promise<HealthServer> {
  const { host, isHostGiven, port, token, log, metrics } = options
  const readiness = together(options.readiness)
  const metricsText = together(() => metrics.text())
  const hasToken = token !== null
  const page = new StatusPage({ read: together(options.state), host, hasToken })
  const isOpen = !hasToken && !isLoopback(host)
  const exposure = isOpen && !isHostGiven ? new Exposure(log) : null
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    exposure?.heed(request.socket.remoteAddress)
    const [path = '/'] = (request.url ?? '/').split('?')
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD')
      answer(response, 405, { error: 'only GET and HEAD are served' })
    } else if (path === '/healthz') answer(response, 200, { status: 'alive' })
    else if (path === '/readyz') {
      readiness().then(
        (state) => {
          const isTold = isTrusted(request, token) && isMeant(request, { host, hasToken })
          answer(response, state.ready ? 200 : 503, isTold ? state : { ready: state.ready, role: state.role })
        },
        (error: unknown) => {
          log.debug({ err: error }, 'The readiness is not known')
          answer(response, 503, { ready: false, reasons: [{ part: 'buffer', code: label('BufferUnavailable'), reason: 'its state cannot be read' }] })
        },
      )
    } else if (path === '/metrics' && !isTrusted(request, token)) {
      response.setHeader('www-authenticate', 'Bearer')
      answer(response, 401, { error: 'the metrics are for whoever sends the token of globals.http as Authorization: Bearer TOKEN' })
    } else if (path === '/metrics' && !isMeant(request, { host, hasToken })) {
      answer(response, 421, { error: 'ask for it as localhost or by its address; by other names only with a token of globals.http' })
    } else if (path === '/metrics') {
      metricsText().then(
        (text) => send(response, 200, metrics.contentType, text),
        (error: unknown) => {
          log.error({ code: 'MetricsBug', err: error, stack: error instanceof Error ? error.stack : undefined }, 'A bug: the metrics cannot be told')
          answer(response, 500, { error: 'the metrics cannot be told; the log says why' })
        },
      )
    } else if (!page.handle(request, response, path, () => isTrusted(request, token))) {
      answer(response, 404, { error: 'not found; there are /, /healthz, /readyz and /metrics' })
    }
  }
  const server = createServer(withoutFloods(serve))
  limitConnections(server)
  const shown = host.includes(':') ? `[${host}]` : host
  try {
    await listen(server, port, host)
  } catch (error) {
    log.warn(
      { code: 'HealthPageOff', err: error, host, port },
      `The health page is off: ${shown}:${port} cannot be opened; ${remedy(error)}`,
    )
    return { port: null, close: () => Promise.resolve() }
  }
  server.unref()
  // One connection that cannot be taken, as where descriptors are short, is no reason to end.
  server.on('error', (error) => log.debug({ err: error }, 'A connection to the status page cannot be taken'))
  // listening on TCP, so it is no pipe's name
  const actual = (server.address() as AddressInfo).port
  const url = `http://${shown}:${actual}`
  log.info({ host, port: actual }, `Health at ${url}/readyz, the status page at ${url}/`)
  if (isOpen && isHostGiven) {
    log.warn(
      { code: 'HttpWithoutToken', host, port: actual },
      `Whoever reaches ${shown}:${actual} sees the status and the metrics, with names of hosts and errors: set globals.http.token, or host to 127.0.0.1`,
    )
  }
  return {
    port: actual,
    close: () =>
      new Promise((resolve) => {
        page.close()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function remedy(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') return 'another program has the port: globals.http.port names another, 0 picks a free one'
  if (code === 'EACCES') return 'ports below 1024 need a privilege: globals.http.port names another'
  return 'globals.http.host must be an address of this machine, or a name that stands for one; an IPv6 address without brackets'
}

function isTrusted({ headers }: IncomingMessage, token: string | null): boolean {
  if (token === null) return true
  const digest = (text: string): Buffer => hash('sha256', text, 'buffer')
  return timingSafeEqual(digest(headers.authorization ?? ''), digest(`Bearer ${token}`))
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, 'application/json', `${JSON.stringify(body, null, 2)}\n`)
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  response.end(text)
}
