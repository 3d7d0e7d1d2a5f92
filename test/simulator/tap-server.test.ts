import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { buffer, text } from 'node:stream/consumers'
import tls from 'node:tls'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { makeAuthority } from '../../src/simulator/certificates.ts'
import type { Authority } from '../../src/simulator/certificates.ts'
import { TapTraffic } from '../../src/simulator/events.ts'
import { TapModel } from '../../src/simulator/tap-model.ts'
import { TapServer } from '../../src/simulator/tap-server.ts'
import type { TapServerOptions } from '../../src/simulator/tap-server.ts'

const NOON = Date.parse('2026-11-20T12:00:00Z')
const AUTHORIZATION = `Basic ${Buffer.from('principal:secret').toString('base64')}`
const PATH = '/v2/siem/messages/blocked?format=json&interval=PT1H/2026-11-20T12:00:00Z'

let authority: Authority
let certificate: { chainPem: string; keyPem: string }
beforeAll(async () => {
  authority = await makeAuthority({ commonName: 'tests' })
  certificate = await authority.issue({ commonName: 'tap' })
})

const running: TapServer[] = []
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop()
})

async function serve(options: Partial<TapServerOptions> = {}, perHour = 10): Promise<TapServer> {
  const model = new TapModel({ now: () => NOON })
  model.events.supply(new TapTraffic({ seed: 1, perHour }))
  const server = await new TapServer({ model, ...options }).start()
  running.push(server)
  return server
}

/** One GET on a connection of its own; resolves with the answer once its headers are there. */
async function get(server: TapServer, headers: Record<string, string> = {}, path = PATH): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { agent: false, ca: authority.certPem, headers: { authorization: AUTHORIZATION, ...headers } }
    const request = (server.baseUrl.startsWith('https') ? https : http).get(`${server.baseUrl}${path}`, options, resolve)
    request.on('error', reject)
    onTestFinished(() => void request.destroy())
  })
}

/** What was read until the answer ended or broke, and how it broke. */
async function drain(response: http.IncomingMessage): Promise<{ body: Buffer; error: string | null }> {
  const pieces: Buffer[] = []
  try {
    for await (const piece of response) pieces.push(piece as Buffer)
    return { body: Buffer.concat(pieces), error: null }
  } catch (error) {
    return { body: Buffer.concat(pieces), error: (error as NodeJS.ErrnoException).code ?? String(error) }
  }
}

function isWhole(body: Buffer): boolean {
  try {
    return typeof JSON.parse(body.toString()) === 'object'
  } catch {
    return false
  }
}

describe('answers', () => {
  test('over TLS, with a certificate that can be replaced', async () => {
    const server = await serve({ certificate })
    expect(server.baseUrl).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    const response = await get(server)
    expect(response).toMatchObject({ statusCode: 200, headers: { date: 'Fri, 20 Nov 2026 12:00:00 GMT' } })
    expect(isWhole(await buffer(response))).toBe(true)
    const stranger = await makeAuthority({ commonName: 'stranger' })
    server.useCertificate(await stranger.issue({ commonName: 'tap' }))
    await expect(get(server)).rejects.toThrow(/certificate/)
  })

  test('over plain HTTP, refusals too', async () => {
    const server = await serve()
    expect((await get(server, { authorization: 'Basic x' })).statusCode).toBe(401)
    const refused = await get(server, {}, '/v2/siem/all?format=json&interval=2026-11-20T11:00:00+00:00/PT30M')
    expect(refused.statusCode).toBe(400)
    expect(await text(refused)).toContain('malformed')
    expect((await get(server, {}, '/v2/siem/all?interval=PT1H/2026-11-20T06:00:00Z')).statusCode).toBe(200)
    const empty = await get(server, {}, '/v2/siem/clicks/blocked?interval=PT30S/2026-11-20T06:00:00Z')
    expect(empty.statusCode).toBe(204)
    expect(await text(empty)).toBe('')
    await expect(get(server, {}, '/').then(({ statusCode }) => statusCode)).resolves.toBe(404)
  })

  test('a small body with its length, a large one in chunks, unless told otherwise', async () => {
    for (const [framing, perHour, hasLength] of [
      ['auto', 10, true],
      ['auto', 100, false],
      ['chunked', 10, false],
      ['length', 100, true],
    ] as const) {
      for (const headers of [{}, { 'accept-encoding': 'gzip, deflate' }]) {
        const response = await get(await serve({ framing }, perHour), headers)
        const bytes = await buffer(response)
        expect(response.headers['content-length']).toBe(hasLength ? String(bytes.length) : undefined)
        expect(isWhole('accept-encoding' in headers ? gunzipSync(bytes) : bytes)).toBe(true)
      }
    }
  })

  test('compressed only for a client that accepts it, and never where that is switched off', async () => {
    const server = await serve()
    expect((await get(server)).headers['content-encoding']).toBeUndefined()
    const zipped = await get(server, { 'accept-encoding': 'gzip' })
    expect(zipped.headers['content-encoding']).toBe('gzip')
    expect(isWhole(gunzipSync(await buffer(zipped)))).toBe(true)
    const plain = await get(await serve({ gzip: false }), { 'accept-encoding': 'gzip' })
    expect(plain.headers['content-encoding']).toBeUndefined()
    expect(isWhole(await buffer(plain))).toBe(true)
  })

  test('100 MB are made as the reader takes them', async () => {
    const server = await serve({ certificate }, 45_000)
    const response = await get(server)
    const before = process.memoryUsage.rss()
    let read = 0
    let ahead = 0
    let grown = 0
    for await (const piece of response) {
      read += (piece as Buffer).length
      ahead = Math.max(ahead, server.bodyBytes - read)
      grown = Math.max(grown, process.memoryUsage.rss() - before)
    }
    expect(read).toBeGreaterThan(100_000_000)
    expect(server.bodyBytes).toBe(read)
    expect(ahead).toBeLessThan(16_000_000)
    expect(grown).toBeLessThan(120_000_000)
  })

  test('a client that goes away in the middle ends the answer', async () => {
    const server = await serve({}, 45_000)
    const response = await get(server)
    expect(server.answering).toBe(1)
    response.destroy()
    await server.until(() => server.answering === 0)
    expect(server.bodyBytes).toBeLessThan(20_000_000)
  })
})

describe.each([
  ['plain', false, {}],
  ['TLS', true, {}],
  ['TLS and gzip', true, { 'accept-encoding': 'gzip' }],
])('faults on the way, %s', (_, isSecure, headers) => {
  const start = () => serve(isSecure ? { certificate } : {}, 100)

  test.each([
    ['length', 'ECONNRESET'],
    ['chunked', 'ECONNRESET'],
    ['close', null],
    ['ended', null],
  ] as const)('truncated, framing by %s', async (framing, error) => {
    const server = await start()
    server.model.faults.set({ kind: 'truncate', afterBytes: 1_000, framing, times: 1 })
    const response = await get(server, headers)
    expect(response.statusCode).toBe(200)
    expect('content-length' in response.headers).toBe(framing === 'length')
    expect('transfer-encoding' in response.headers).toBe(framing === 'chunked' || framing === 'ended')
    const seen = await drain(response)
    expect(seen.error).toBe(error)
    expect(seen.body).toHaveLength(1_000)
    const next = await drain(await get(server))
    expect(isWhole(next.body)).toBe(true)
  })

  test('cut at a share of the body', async () => {
    const server = await start()
    server.model.faults.set({ kind: 'truncate', afterBytes: 0.5, framing: 'length' })
    const response = await get(server, headers)
    const { body } = await drain(response)
    expect(body.length).toBe(Math.floor(Number(response.headers['content-length']) / 2))
  })

  test('reset in the middle, which is not the early end of a truncation', async () => {
    const server = await start()
    const ending = async () => {
      const options = { host: '127.0.0.1', port: server.port, ca: authority.certPem }
      const socket = isSecure ? tls.connect(options) : net.connect(options)
      const fields = Object.entries({ host: 'tap', authorization: AUTHORIZATION, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.write(`GET ${PATH} HTTP/1.1\r\n${fields.join('')}\r\n`)
      socket.resume()
      return new Promise((resolve) => {
        socket.on('end', () => resolve('end'))
        socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
      })
    }
    server.model.faults.set({ kind: 'truncate', afterBytes: 10, framing: 'chunked', times: 1 })
    expect(await ending()).toBe('end')
    server.model.faults.set({ kind: 'reset', afterBytes: 10, times: 1 })
    expect(await ending()).toBe('ECONNRESET')
    server.model.faults.set({ kind: 'reset', afterBytes: 0, times: 1 })
    expect(await ending()).toBe('ECONNRESET')
  })

  test('stalled: without a status line, after the headers, in the middle', async () => {
    const server = await start()
    for (const afterBytes of [null, 0, 500]) {
      server.model.faults.set({ kind: 'stall', afterBytes, times: 1 })
      let read = 0
      const request = (isSecure ? https : http).get(`${server.baseUrl}${PATH}`, {
        agent: false,
        ca: authority.certPem,
        headers: { authorization: AUTHORIZATION, ...headers },
      })
      const answered = new Promise<http.IncomingMessage | null>((resolve) => {
        request.on('response', resolve)
        request.on('error', () => resolve(null))
      })
      if (afterBytes === null) {
        await server.until(() => server.answering === 1)
      } else {
        const response = await answered
        expect(response?.statusCode).toBe(200)
        await new Promise<void>((resolve) => {
          if (afterBytes === 0) resolve()
          else response?.on('data', (piece: Buffer) => {
            read += piece.length
            if (read >= afterBytes) resolve()
          })
        })
        expect(read).toBe(afterBytes)
      }
      expect(server.answering).toBe(1)
      request.on('error', () => undefined)
      request.destroy()
      await server.until(() => server.answering === 0)
    }
  })

  test('dripped: whole, but in small pieces with a wait before each', async () => {
    const waits: number[] = []
    const clock = { now: () => NOON, monotonic: () => 0, sleep: async (ms: number) => void waits.push(ms), after: () => () => undefined }
    const server = await serve(isSecure ? { certificate, clock } : { clock })
    server.model.faults.set({ kind: 'drip', bytes: 1_000, everyMs: 250 })
    const seen = await drain(await get(server, headers))
    expect(seen.error).toBeNull()
    expect(isWhole('accept-encoding' in headers ? gunzipSync(seen.body) : seen.body)).toBe(true)
    expect(waits.length).toBeGreaterThanOrEqual(seen.body.length / 1_000)
    expect(new Set(waits)).toEqual(new Set([250]))
  })
})

describe('faults of the answer', () => {
  test('come over HTTP as the model gives them', async () => {
    const server = await serve()
    server.model.faults.set({ kind: 'status', status: 429, retryAfter: 3, times: 1 })
    expect(await get(server)).toMatchObject({ statusCode: 429, headers: { 'retry-after': '3' } })
    server.model.faults.set({ kind: 'empty', times: 1 })
    const empty = await get(server)
    expect(empty).toMatchObject({ statusCode: 200, headers: { 'content-length': '0' } })
    expect(await text(empty)).toBe('')
    server.model.faults.set({ kind: 'headers', headers: { age: '120' }, times: 1 })
    expect((await get(server)).headers.age).toBe('120')
  })
})

describe('the server itself', () => {
  test('refuses connections for a while and comes back on the same port', async () => {
    const server = await serve({ certificate })
    const { port } = server
    server.refuseConnections()
    await expect(get(server)).rejects.toThrow('ECONNREFUSED')
    await server.acceptConnections()
    expect(server.port).toBe(port)
    expect((await get(server)).statusCode).toBe(200)
  })

  test('an answer that has begun goes on while connections are refused, unless they are dropped', async () => {
    const server = await serve({}, 1_000)
    const response = await get(server)
    server.refuseConnections()
    expect(isWhole((await drain(response)).body)).toBe(true)
    await server.acceptConnections()
    server.model.faults.set({ kind: 'stall', afterBytes: 0 })
    const stalled = await get(server)
    server.disconnectAll()
    expect((await drain(stalled)).error).toBe('ECONNRESET')
  })

  test('stops in the middle of everything, twice, and rejects who waits', async () => {
    const server = await serve()
    server.model.faults.set({ kind: 'stall', afterBytes: 0 })
    await get(server)
    const waiting = expect(server.until(() => false)).rejects.toThrow('stopped')
    await server.stop()
    await server.stop()
    await waiting
    expect(server.answering).toBe(0)
  })

  test('stays stopped, also when it was just about to accept connections again', async () => {
    const server = await serve()
    server.refuseConnections()
    const accepting = server.acceptConnections()
    await server.stop()
    await accepting
    await expect(get(server)).rejects.toThrow('ECONNREFUSED')
    await expect(server.acceptConnections()).rejects.toThrow('stopped')
    await expect(server.until(() => false)).rejects.toThrow('stopped')
  })

  test('a port in use is an error of start', async () => {
    const server = await serve()
    await expect(serve({ port: server.port })).rejects.toThrow('EADDRINUSE')
  })
})
