import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { Collector } from './collector.ts'
import { makeWorld } from './world.ts'

/** What probes, a Prometheus and a few who look on ask for within a day; by hand LEAK_ROUNDS=20000 makes it months. */
const ROUNDS = Number(process.env.LEAK_ROUNDS ?? 200)
/** What the compiler keeps is some 800 at first, and 35 after thousands of rounds; a closure left behind by each of a round's 15 requests is 1,500 more. */
const MOST_BYTES_A_ROUND = 2_000
const AT_ONCE = 10
const PATHS = ['/metrics', '/readyz', '/healthz', '/status.json', '/', '/page.js', '/nothing']

interface Held {
  readonly heap: number
  readonly resources: readonly string[]
}

/** Once the last socket has closed: a leak of one lets the test's time run out. */
async function heldAtRest(collector: Collector): Promise<Held> {
  for (;;) {
    const now = await held(collector)
    if (!now.resources.includes('TCPSocketWrap')) return now
  }
}

async function held(collector: Collector): Promise<Held> {
  const before = collector.stderr.split('HELD ').length
  collector.kill('SIGUSR2')
  await collector.until(() => collector.stderr.split('HELD ').length > before && collector.stderr.endsWith('\n'), 'what is held')
  return JSON.parse(collector.stderr.split('HELD ').at(-1) ?? '') as Held // heap-probe.mjs writes it
}

async function ask(port: number, path: string, agent: Agent | false): Promise<IncomingMessage> {
  const asked = get({ host: '127.0.0.1', port, path, agent })
  const [response] = (await once(asked, 'response')) as [IncomingMessage] // the event's own arguments
  return response
}

/** Each path over a connection that is kept and one that is not, and a look at the live page that is broken off in the middle. */
async function round(port: number, kept: Agent): Promise<void> {
  for (const agent of [kept, false] as const) {
    for (const path of PATHS) await once((await ask(port, path, agent)).resume(), 'end')
  }
  const stream = await ask(port, '/status/events', false)
  expect(stream.statusCode).toBe(200)
  await once(stream, 'data')
  stream.destroy()
}

async function rounds(port: number, count: number): Promise<void> {
  const kept = new Agent({ keepAlive: true })
  let left = count
  const visitor = async (): Promise<void> => {
    for (; left > 0; left -= 1) await round(port, kept)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, visitor))
  kept.destroy()
}

test('whoever scrapes, probes and looks on leaves nothing behind: no memory, no socket, no timer', async () => {
  const world = await makeWorld({
    perHour: 0,
    // Nothing else is to happen meanwhile.
    configure: ({ inputs }) => Object.values(inputs.proofpoint_tap?.services ?? {}).forEach((service) => Object.assign(service, { request_period_in_seconds: 3_600 })),
  })
  const probe = fileURLToPath(new URL('../support/heap-probe.mjs', import.meta.url))
  const collector = world.start(['run'], { env: { NODE_OPTIONS: `--throw-deprecation --expose-gc --import=${probe}` } })
  const port = await collector.httpPort()
  await collector.logged('is reachable and accepts us')
  await rounds(port, ROUNDS)
  const before = await heldAtRest(collector)
  await rounds(port, ROUNDS)
  const after = await heldAtRest(collector)
  expect((after.heap - before.heap) / ROUNDS).toBeLessThan(MOST_BYTES_A_ROUND)
  expect(after.resources).toEqual(before.resources)
  expect(collector.stderr).not.toContain('MaxListenersExceededWarning')
}, 30_000 + ROUNDS * 100)
