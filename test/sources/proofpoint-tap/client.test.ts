import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { pino } from 'pino'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { Counters } from '../../../src/pipeline/counters.ts'
import { makeAuthority, type Authority } from '../../../src/simulator/certificates.ts'
import { TapModel } from '../../../src/simulator/tap-model.ts'
import { TapServer, type TapServerOptions } from '../../../src/simulator/tap-server.ts'
import { TapClient, type TapAnswer } from '../../../src/sources/proofpoint-tap/client.ts'
import type { TapInputConfig } from '../../../src/sources/proofpoint-tap/config.ts'
import { TapError } from '../../../src/sources/proofpoint-tap/errors.ts'
import { TapPools } from '../../../src/sources/proofpoint-tap/pools.ts'
import { ServerTime } from '../../../src/sources/proofpoint-tap/server-time.ts'
import { ownTarget } from '../../../src/sources/proofpoint-tap/targets.ts'
import { createHttpClient, type HttpClient } from '../../../src/sources/proofpoint-tap/undici-request.ts'
import { MemoryBuffer } from '../../support/memory-buffer.ts'
import { inputConfig, serviceConfig } from '../../support/tap-simulation.ts'

const NOON = Date.parse('2026-11-20T12:00:00Z')
const WINDOW = { from: NOON - 3_600_000, to: NOON - 60_000 }

let authority: Authority
let certificate: { chainPem: string; keyPem: string }
beforeAll(async () => {
  authority = await makeAuthority({ commonName: 'tests' })
  certificate = await authority.issue({ commonName: 'tap' })
})

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function serve(options: Partial<TapServerOptions> = {}): Promise<TapServer> {
  const server = await new TapServer({ model: new TapModel({ now: () => NOON }), ...options }).start()
  cleanups.push(() => server.stop())
  return server
}

/** A server that says what a test wants; gives its URL. */
async function serveRaw(listener: http.RequestListener): Promise<string> {
  const server = http.createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return urlOf(server)
}

function urlOf(server: net.Server): string {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `http://127.0.0.1:${address.port}`
}

interface Setup {
  readonly client: TapClient
  readonly input: TapInputConfig
  readonly buffer: MemoryBuffer
  readonly time: ServerTime
  readonly counters: Counters
  ask(signal?: AbortSignal): Promise<TapAnswer>
}

function connect(baseUrl: string, { ca = null, timeouts = {}, overrides = {} }: {
  readonly ca?: string | null
  readonly timeouts?: { readonly connectMs?: number; readonly headersMs?: number; readonly bodyIdleMs?: number }
  readonly overrides?: Partial<TapInputConfig>
} = {}): Setup {
  const service = serviceConfig('messagesBlocked', { threatStatuses: ['active', 'falsePositive'], threatTypes: ['url'] })
  const input = inputConfig({ baseUrl, services: [service], ...overrides })
  const buffer = new MemoryBuffer()
  const clock = systemClock
  const deps = { clock, log: pino({ level: 'silent' }), quotaLog: buffer }
  const httpClient: HttpClient = createHttpClient({ ca, timeouts })
  const pools = new TapPools([input], deps)
  cleanups.push(async () => {
    pools.close()
    await httpClient.close()
  })
  const time = new ServerTime(clock)
  const counters = new Counters()
  const client = new TapClient(input, { clock, request: httpClient.request, pools, time, counters })
  const ask = (signal = new AbortController().signal): Promise<TapAnswer> =>
    client.ask(ownTarget(input, service), () => WINDOW, { isCaughtUp: true, signal, isPatient: false, onWait: () => undefined })
  return { client, input, buffer, time, counters, ask }
}

async function failureOf(work: Promise<unknown>): Promise<TapError> {
  try {
    await work
  } catch (error) {
    expect(error).toBeInstanceOf(TapError)
    return error as TapError
  }
  throw new Error('it did not fail')
}

async function read(answer: TapAnswer): Promise<string> {
  try {
    return answer.body === null ? '' : await text(answer.body)
  } finally {
    answer.release()
  }
}

describe('a request', () => {
  it('asks for JSON of the window, with the filters, and is counted', async () => {
    const server = await serve()
    const setup = connect(server.baseUrl)
    const body = await read(await setup.ask())
    expect(JSON.parse(body)).toEqual({ queryEndTime: '2026-11-20T11:59:00Z', messagesBlocked: [] })
    const [entry] = server.model.log.entries
    expect(entry).toMatchObject({ path: '/v2/siem/messages/blocked', status: 200, window: WINDOW })
    const query = new URLSearchParams(entry?.query)
    expect([...query]).toEqual([
      ['format', 'json'], ['interval', '2026-11-20T11:00:00Z/2026-11-20T11:59:00Z'],
      ['threatType', 'url'], ['threatStatus', 'active'], ['threatStatus', 'falsePositive'],
    ])
    expect(setup.buffer.requestsCounted()).toBe(1)
    expect(setup.counters.sum('api_requests_total', { pool: 'siem', status: '200' })).toBe(1)
    expect(setup.time.answers).toBe(1)
  })

  it.each([
    ['an answer of the API', 200, 'application/json', true],
    ['a refused window', 400, 'text/plain', true],
    ['a gateway’s error', 503, 'text/plain', false],
    ['a page for people', 200, 'text/html', false],
    ['a redirect', 302, 'text/plain', false],
  ])('learns another time from %s: %i %s %s', async (_name, status, type, isLearnt) => {
    const date = new Date(Date.now() - 86_400_000).toUTCString()
    const base = await serveRaw((_request, response) => response.writeHead(status, { date, 'content-type': type }).end('{}'))
    const setup = connect(base)
    for (let request = 0; request < 3; request += 1) await setup.ask().then(read, () => undefined)
    expect(setup.time.isKnown).toBe(isLearnt)
  })

  it('keeps a path in base_url', async () => {
    const urls: (string | undefined)[] = []
    const base = await serveRaw((request, response) => {
      urls.push(request.url)
      response.end('{}')
    })
    await read(await connect(`${base}/tap/`).ask())
    expect(urls[0]).toMatch(/^\/tap\/v2\/siem\/messages\/blocked\?format=json&interval=/)
  })

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ] as const)('decodes %s, and fails where that is cut off', async (encoding, encode) => {
    const whole = encode(Buffer.from(`{"messagesBlocked":[${'{"a":1},'.repeat(999)}{"a":2}]}`))
    let isCut = false
    const base = await serveRaw((request, response) => {
      expect(request.headers['accept-encoding']).toContain(encoding)
      response.writeHead(200, { 'content-encoding': encoding })
      response.end(isCut ? whole.subarray(0, whole.length - 12) : whole)
    })
    const setup = connect(base)
    expect(JSON.parse(await read(await setup.ask()))).toHaveProperty('messagesBlocked.length', 1_000)
    isCut = true
    const answer = await setup.ask()
    const error: unknown = await read(answer).catch((reason: unknown) => reason)
    expect(setup.client.failureOf(error).kind).toBe('broken')
  })

  it('takes text/plain and 204', async () => {
    const replies = [[200, { 'content-type': 'text/plain' }, '{}'], [204, {}, '']] as const
    let count = 0
    const base = await serveRaw((_request, response) => {
      const [status, headers, body] = replies[count++ % 2] ?? replies[0]
      response.writeHead(status, headers).end(body)
    })
    const setup = connect(base)
    expect(await read(await setup.ask())).toBe('{}')
    const empty = await setup.ask()
    expect(empty.body).toBeNull()
    empty.release()
  })
})

describe('TLS', () => {
  it('is verified always, and an own authority counts beside the others', async () => {
    const server = await serve({ certificate })
    const folder = await mkdtemp(join(tmpdir(), 'tap-ca-'))
    cleanups.push(() => rm(folder, { recursive: true }))
    const ca = join(folder, 'ca.crt')
    await writeFile(ca, authority.certPem)
    const refused = await failureOf(connect(server.baseUrl).ask())
    expect(refused.kind).toBe('unreachable')
    expect(refused.message).toMatch(/cannot reach https:\/\/.*(certificate|self-signed)/i)
    await read(await connect(server.baseUrl, { ca }).ask())
    const missing = await failureOf(connect(server.baseUrl, { ca: join(folder, 'missing.crt') }).ask())
    expect(missing.message).toContain('missing.crt')
  })
})

describe('a proxy', () => {
  const saved = { ...process.env }
  afterEach(() => {
    for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'https_proxy', 'http_proxy', 'no_proxy']) {
      if (saved[name] === undefined) Reflect.deleteProperty(process.env, name)
      else process.env[name] = saved[name]
    }
  })

  async function serveProxy(answer: string | null): Promise<{ url: string; targets: string[] }> {
    const targets: string[] = []
    const proxy = http.createServer()
    proxy.on('connect', (request, socket, head) => {
      targets.push(request.url ?? '')
      if (answer !== null) {
        socket.end(answer)
        return
      }
      const target = new URL(`http://${request.url ?? ''}`)
      const upstream = net.connect(Number(target.port), target.hostname, () => {
        socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
        upstream.write(head)
        socket.pipe(upstream).pipe(socket)
      })
      socket.on('error', () => upstream.destroy())
      upstream.on('error', () => socket.destroy())
      cleanups.push(async () => {
        upstream.destroy()
        socket.destroy()
      })
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    cleanups.push(() => {
      proxy.closeAllConnections()
      return new Promise((resolve) => proxy.close(resolve))
    })
    return { url: urlOf(proxy), targets }
  }

  it('is used for https, and not for what NO_PROXY names', async () => {
    const server = await serve({ certificate })
    const folder = await mkdtemp(join(tmpdir(), 'tap-ca-'))
    cleanups.push(() => rm(folder, { recursive: true }))
    const ca = join(folder, 'ca.crt')
    await writeFile(ca, authority.certPem)
    const proxy = await serveProxy(null)
    process.env.HTTPS_PROXY = proxy.url
    await read(await connect(server.baseUrl, { ca }).ask())
    expect(proxy.targets).toHaveLength(1)
    process.env.NO_PROXY = new URL(server.baseUrl).hostname
    await read(await connect(server.baseUrl, { ca }).ask())
    expect(proxy.targets).toHaveLength(1)
  })

  it('that refuses is a clear error', async () => {
    const server = await serve({ certificate })
    const proxy = await serveProxy('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    process.env.HTTPS_PROXY = proxy.url
    const refused = await failureOf(connect(server.baseUrl).ask())
    expect(refused).toMatchObject({ kind: 'unreachable' })
    expect(refused.message).toContain('407')
  })

  it.each([
    ['HTTPS_PROXY', 'notaurl'], ['HTTPS_PROXY', 'no url at all'], ['https_proxy', 'user:hunter2@proxy:3128'], ['HTTP_PROXY', ':::'], ['HTTP_PROXY', 'proxy:3128'],
  ])('that is none (%s=%s) is an error that names the variable, and not its value', async (name, value) => {
    process.env[name] = value
    const error = await failureOf(connect('https://127.0.0.1:1').ask())
    expect(error).toMatchObject({ kind: 'unreachable' })
    expect(error.message).toContain(`check ${name}`)
    expect(error.message).not.toContain(value)
    Reflect.deleteProperty(process.env, name)
  })
})

describe('answers that are none', () => {
  it.each([
    [401, '', 'login', 'login refused (401): check inputs.tap.credentials'],
    [403, 'Forbidden', 'login', /not entitled to messagesBlocked \(403\).*inputs\.tap\.services: Forbidden/],
    [400, 'The requested start time is too far into the past. Requests for information up to 7.00d are accepted', 'too-old', /too far into the past/],
    [400, 'The requested interval is too short. Requests must be for at least 30.00s of data', 'too-short', /too short/],
    [400, 'The requested interval is still current.', 'still-current', /still current/],
    [400, 'Bad\r\nthings\u0007 \u001b[31m', 'refused', 'the API refuses the request (400): Bad things\\u0007 \\u001b[31m'],
    [404, 'Not Found', 'not-found', 'the API answers 404: check inputs.tap.base_url: Not Found'],
    [500, 'x'.repeat(5_000), 'broken', /^the API answers 500: x{200}\.\.\.$/],
  ] as const)('%i %s', async (status, body, kind, message) => {
    const base = await serveRaw((_request, response) => response.writeHead(status).end(body))
    const error = await failureOf(connect(base).ask())
    expect(error.kind).toBe(kind)
    if (typeof message === 'string') expect(error.message).toBe(message)
    else expect(error.message).toMatch(message)
  })

  it('a redirect is not followed', async () => {
    let requests = 0
    const base = await serveRaw((_request, response) => {
      requests += 1
      response.writeHead(302, { location: '/elsewhere' }).end()
    })
    const error = await failureOf(connect(base).ask())
    expect(error).toMatchObject({ kind: 'unexpected' })
    expect(error.message).toContain('redirect (302) to /elsewhere')
    expect(requests).toBe(1)
  })

  it('an HTML page with status 200', async () => {
    const server = await serve()
    server.model.faults.set({ kind: 'html' })
    expect(await failureOf(connect(server.baseUrl).ask())).toMatchObject({ kind: 'unexpected', message: /HTML page.*inputs\.tap\.base_url/ })
  })

  it('a refused connection, an unknown name', async () => {
    const server = await serve()
    const { baseUrl } = server
    await server.stop()
    expect(await failureOf(connect(baseUrl).ask())).toMatchObject({ kind: 'unreachable', message: /^cannot reach http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/ })
    expect(await failureOf(connect('http://tap.invalid').ask())).toMatchObject({ kind: 'unreachable', message: /tap\.invalid/ })
  })

  it('a 429 where nobody wants to wait', async () => {
    const base = await serveRaw((_request, response) => response.writeHead(429).end())
    expect(await failureOf(connect(base).ask())).toMatchObject({ kind: 'throttled', message: /429/ })
  })

  it('no secret is in any message', async () => {
    const encoded = Buffer.from('principal:hunter2secret').toString('base64')
    const base = await serveRaw((request, response) => response.writeHead(400).end(`you sent ${request.headers.authorization ?? ''} hunter2secret`))
    const error = await failureOf(connect(base, { overrides: { password: 'hunter2secret' } }).ask())
    expect(error.message).toContain('you sent Basic *** ***')
    expect(error.message).not.toContain(encoded)
  })
})

describe('time-outs', () => {
  const timeouts = { headersMs: 50, bodyIdleMs: 50 }

  it('an API that never begins to answer', async () => {
    const server = await serve()
    server.model.faults.set({ kind: 'stall', afterBytes: null })
    expect(await failureOf(connect(server.baseUrl, { timeouts }).ask())).toMatchObject({ kind: 'broken', message: /Headers Timeout/ })
  })

  it('a body that stops coming', async () => {
    const server = await serve({ gzip: false })
    server.model.faults.set({ kind: 'stall', afterBytes: 20 })
    const setup = connect(server.baseUrl, { timeouts })
    const answer = await setup.ask()
    const error: unknown = await read(answer).catch((reason: unknown) => reason)
    expect(setup.client.failureOf(error)).toMatchObject({ kind: 'broken', message: /Body Timeout/ })
  })

  it.each([
    [{ kind: 'reset', afterBytes: 20 }],
    [{ kind: 'truncate', afterBytes: 20, framing: 'length' }],
    [{ kind: 'truncate', afterBytes: 20, framing: 'chunked' }],
  ] as const)('a body that breaks off: %o', async (fault) => {
    const server = await serve({ gzip: false })
    server.model.faults.set(fault)
    const setup = connect(server.baseUrl)
    const error: unknown = await setup.ask().then(read).catch((reason: unknown) => reason)
    expect(setup.client.failureOf(error).kind).toBe('broken')
  })
})

describe('giving up', () => {
  it('ends a request that waits for its answer, and one whose body is being read', async () => {
    const server = await serve({ gzip: false })
    server.model.faults.set({ kind: 'stall', afterBytes: null, times: 1 })
    server.model.faults.set({ kind: 'stall', afterBytes: 20 })
    const setup = connect(server.baseUrl)
    const stop = new AbortController()
    const waiting = setup.ask(stop.signal)
    while (server.model.log.entries.length === 0) await new Promise((resolve) => setImmediate(resolve))
    stop.abort(new Error('stopped'))
    await expect(waiting).rejects.toThrow('stopped')
    const answer = await setup.ask()
    const reading = read(answer)
    answer.abort(new Error('given up'))
    await expect(reading).rejects.toThrow()
  })
})
