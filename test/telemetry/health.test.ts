import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { startHealthServer, type Readiness } from '../../src/telemetry/health.ts'
import { silent } from '../pipeline/support.ts'

const WAITING: Readiness = {
  ready: false,
  role: 'active',
  reasons: [{ part: 'devo_1', code: 'PeerUnreachable [CODE:0800]', reason: 'connect ECONNREFUSED', since: '2026-11-20T00:00:00.000Z' }],
  holes: [],
  gaps: [],
}

async function serve(token: string | null, readiness: () => Promise<Readiness> = async () => WAITING, text = async () => 'up 1\n'): Promise<string> {
  const metrics = { contentType: 'text/plain; version=0.0.4', text }
  const server = await startHealthServer({ host: '127.0.0.1', isHostGiven: true, port: 0, token, log: silent, readiness, metrics, state: async () => '{}' })
  onTestFinished(() => server.close())
  return `http://127.0.0.1:${server.port ?? 0}`
}

test('without a token everybody learns the reasons', async () => {
  const response = await fetch(`${await serve(null)}/readyz`)
  expect(response.status).toBe(503)
  expect(await response.json()).toEqual(WAITING)
})

test('with a token the verdict is for all, and the reasons for whoever sends it', async () => {
  const url = await serve('the-token')
  const ask = async (headers: Record<string, string>) => {
    const response = await fetch(`${url}/readyz`, { headers })
    return { status: response.status, body: await response.json() }
  }
  const verdict = { status: 503, body: { ready: false, role: 'active' } }
  expect(await ask({})).toEqual(verdict)
  expect(await ask({ authorization: 'Bearer another' })).toEqual(verdict)
  expect(await ask({ authorization: 'the-token' })).toEqual(verdict)
  expect(await ask({ authorization: 'Bearer the-token' })).toEqual({ status: 503, body: WAITING })
  expect((await fetch(`${url}/healthz`)).status).toBe(200)
})

test('a state that cannot be read is not ready, and its error stays inside', async () => {
  const response = await fetch(`${await serve(null, async () => Promise.reject(new Error('/secret/path')))}/readyz`)
  expect(response.status).toBe(503)
  expect(await response.text()).not.toContain('/secret/path')
})

test('metrics are for whoever sends the token, where there is one', async () => {
  const open = await fetch(`${await serve(null)}/metrics`)
  expect([open.status, open.headers.get('content-type'), await open.text()]).toEqual([200, 'text/plain; version=0.0.4', 'up 1\n'])
  const url = await serve('the-token')
  const refused = await fetch(`${url}/metrics`)
  expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
  expect(await refused.text()).not.toContain('up 1')
  expect((await fetch(`${url}/metrics`, { headers: { authorization: 'Bearer the-token' } })).status).toBe(200)
})

test('metrics that cannot be told are an error of the server, whose reason stays inside', async () => {
  const response = await fetch(`${await serve(null, undefined, async () => Promise.reject(new Error('/secret/path')))}/metrics`)
  expect(response.status).toBe(500)
  expect(await response.text()).not.toContain('/secret/path')
})

test('only reading is served', async () => {
  const url = await serve(null)
  expect((await fetch(`${url}/readyz`, { method: 'POST' })).status).toBe(405)
  expect((await fetch(`${url}/nothing`)).status).toBe(404)
})

test('a page that cannot be opened says what to change', async () => {
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => void lines.push(line) })
  const open = async (host: string, port: number) => {
    const metrics = { contentType: 'text/plain', text: async () => '' }
    const server = await startHealthServer({ host, isHostGiven: true, port, token: null, log, readiness: async () => WAITING, metrics, state: async () => '{}' })
    onTestFinished(() => server.close())
    return server.port
  }
  const taken = await open('127.0.0.1', 0)
  expect(await open('127.0.0.1', taken ?? 0)).toBeNull()
  expect(lines.at(-1)).toMatch(/another program has the port: globals\.http\.port/)
  // An address for documents, which no machine has.
  expect(await open('192.0.2.1', 0)).toBeNull()
  expect(lines.at(-1)).toMatch(/192\.0\.2\.1:0 cannot be opened; globals\.http\.host must be an address of this machine/)
})
