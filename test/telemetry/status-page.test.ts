import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { startHealthServer } from '../../src/telemetry/health.ts'
import { isLoopback } from '../../src/telemetry/page/status-page.ts'

const READY = { ready: true, role: 'active', reasons: [], holes: [], gaps: [] } as const

interface Options {
  readonly host?: string
  readonly isHostGiven?: boolean
  readonly token?: string | null
  readonly state?: () => Promise<string>
}

async function serve({ host = '127.0.0.1', isHostGiven = true, token = null, state = async () => '{"n":1}' }: Options = {}) {
  const lines: string[] = []
  const log = pino({ formatters: { level: (level) => ({ level }) } }, { write: (line: string) => void lines.push(line) })
  const metrics = { contentType: 'text/plain', text: async () => '' }
  const server = await startHealthServer({ host, isHostGiven, port: 0, token, log, readiness: async () => READY, metrics, state })
  onTestFinished(() => server.close())
  const port = server.port ?? 0
  return { port, url: `http://127.0.0.1:${port}`, lines }
}

async function ask(port: number, host: string, { path = '/status.json', ...headers }: Record<string, string> = {}): Promise<{ status: number | undefined; body: string }> {
  const sent = request({ host: '127.0.0.1', port, path, headers: { host, ...headers } }).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage] // the event's own arguments
  return { status: response.statusCode, body: await text(response) }
}

async function statusFor(...asked: Parameters<typeof ask>): Promise<number | undefined> {
  return (await ask(...asked)).status
}

test('a name that only somebody else has given to this machine is refused', async () => {
  const { port } = await serve()
  expect(await Promise.all(['localhost', '127.0.0.1:1', '[::1]:8080', 'evil.example', 'localhost.evil.example'].map((host) => statusFor(port, host)))).toEqual([200, 200, 200, 421, 421])
  expect(await Promise.all(['localhost:1', 'evil.example'].map((host) => statusFor(port, host, { path: '/metrics' })))).toEqual([200, 421])
  expect((await ask(port, 'localhost', { path: '/readyz' })).body).toContain('reasons')
  const verdict = await ask(port, 'evil.example', { path: '/readyz' })
  expect([verdict.status, JSON.parse(verdict.body)]).toEqual([200, { ready: true, role: 'active' }])
  // As in an image: by its address or a neighbour's short name for it, and still by no web site's.
  const open = await serve({ host: '0.0.0.0', isHostGiven: false })
  expect(await Promise.all(['localhost', '172.17.0.2:8080', '[fd00::2]', 'collector:8080', 'evil.example'].map((host) => statusFor(open.port, host)))).toEqual([200, 200, 200, 200, 421])
  const guarded = await serve({ token: 'x-token' })
  expect(await statusFor(guarded.port, 'tap.example')).toBe(401)
  expect(await statusFor(guarded.port, 'tap.example', { authorization: 'Bearer x-token' })).toBe(200)
})

test('beyond the loopback address a missing token is a warning', async () => {
  const warnings = async (options: Parameters<typeof serve>[0]) => (await serve(options)).lines.filter((line) => line.includes('"warn"'))
  expect(await warnings({ host: '0.0.0.0' })).toEqual([expect.stringContaining('globals.http.token')])
  expect(await warnings({ host: '0.0.0.0', token: 'x' })).toEqual([])
  // In an image nobody has chosen it.
  expect(await warnings({ host: '0.0.0.0', isHostGiven: false })).toEqual([])
  expect(await warnings({})).toEqual([])
  expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost', '0.0.0.0', '::', '10.0.0.1', 'example.com'].map(isLoopback)).toEqual([true, true, true, true, false, false, false, false])
})

test('nothing is read while nobody looks on, and at most 20 look on', async () => {
  let reads = 0
  const { url } = await serve({ state: async () => `{"n":${(reads += 1)}}` })
  expect((await fetch(url)).status).toBe(200)
  expect(reads).toBe(0)
  const leave = new AbortController()
  const look = () => fetch(`${url}/status/events`, { signal: leave.signal })
  const viewers = await Promise.all(Array.from({ length: 20 }, look))
  expect(viewers.map(({ status }) => status)).toEqual(viewers.map(() => 200))
  expect((await look()).status).toBe(503)
  leave.abort()
  // Places are free again as soon as the server has seen that they are gone.
  for (let status = 503; status !== 200; ) {
    const response = await fetch(`${url}/status/events`)
    status = response.status
    await response.body?.cancel()
  }
})

test('whoever does not read misses states, and goes on with the present one', async () => {
  let reads = 0
  const { port, url } = await serve({ state: async () => `{"n":${(reads += 1)},"x":"${'x'.repeat(16_000_000)}"}` })
  const stuck = connect(port, '127.0.0.1')
  onTestFinished(() => void stuck.destroy())
  stuck.write('GET /status/events HTTP/1.1\r\nhost: localhost\r\n\r\n')
  await once(stuck, 'readable')
  // Each newcomer lets the state be told to all at once.
  while (reads < 8) {
    const response = await fetch(`${url}/status/events`)
    await response.body?.cancel()
  }
  const seen: number[] = []
  let tail = ''
  for await (const chunk of stuck) {
    tail = tail.slice(-20) + String(chunk)
    const n = Number(/"n":(\d+),/.exec(tail)?.[1] ?? 0)
    if (n > 0 && n !== seen.at(-1)) seen.push(n)
    if (seen.length === 2) break
  }
  expect(seen[0]).toBe(1)
  expect(seen[1]).toBeGreaterThanOrEqual(8)
})
