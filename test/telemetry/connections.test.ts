import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { startHealthServer } from '../../src/telemetry/health.ts'
import { silent } from '../pipeline/support.ts'

const READY = { ready: true, role: 'active', reasons: [], holes: [], gaps: [] } as const
const ASK = 'GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n'

async function serve(read: () => Promise<string> = async () => 'up 1\n'): Promise<number> {
  const metrics = { contentType: 'text/plain', text: read }
  const server = await startHealthServer({ host: '127.0.0.1', isHostGiven: true, port: 0, token: null, log: silent, readiness: async () => READY, metrics, state: async () => '{}' })
  onTestFinished(() => server.close())
  return server.port ?? 0
}

function open(port: number): Socket {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  return socket
}

test('connections that are only held open keep no probe out, and are not more than a hundred', async () => {
  const port = await serve()
  const held: Socket[] = []
  let alive = 0
  const closed: Promise<unknown>[] = []
  for (let index = 0; index < 130; index += 1) {
    const socket = open(port)
    await once(socket, 'connect')
    socket.write('GET /hea')
    held.push(socket)
    alive += 1
    closed.push(once(socket.resume(), 'close').then(() => (alive -= 1)))
  }
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
  await Promise.all(closed.slice(0, 31))
  expect(alive).toBe(99)
  expect(held.slice(31).every(({ destroyed }) => !destroyed)).toBe(true)
})

test('whoever asks again and again without waiting for an answer is cut off, and has cost no more than one look', async () => {
  let reads = 0
  const { promise: goOn, resolve } = Promise.withResolvers<string>()
  const port = await serve(async () => {
    reads += 1
    return goOn
  })
  const flood = open(port)
  const ended = text(flood).catch(() => '')
  flood.write(ASK.repeat(1_000))
  expect(await ended).toBe('')
  expect(reads).toBe(1)
  resolve('up 1\n')
  expect(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).toBe('up 1\n')
})

test('a few requests in one packet are answered in their order', async () => {
  const port = await serve()
  const socket = open(port)
  socket.write(`${ASK}${ASK.replace('/metrics', '/healthz')}${ASK.replace('host', 'connection: close\r\nhost')}`)
  expect((await text(socket)).match(/up 1|"alive"/g)).toEqual(['up 1', '"alive"', 'up 1'])
})
