import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import tls from 'node:tls'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { FatalError } from '../../src/pipeline/errors.ts'
import type { Clock } from '../../src/pipeline/clock.ts'
import { systemClock } from '../../src/pipeline/clock.ts'
import { DEMO_SCRIPT } from '../../src/simulator/simulator-script.ts'
import type { ScriptedFault } from '../../src/simulator/simulator-script.ts'
import { startSimulator } from '../../src/simulator/simulator.ts'
import type { Simulator, SimulatorOptions } from '../../src/simulator/simulator.ts'
import { TAP_ENDPOINTS } from '../../src/simulator/tap-api.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

let dir: string
const running: Simulator[] = []
/** Certificates cost most of a start; most tests take those of the first. */
let certificates: string
beforeAll(async () => {
  const first = await mkdtemp(join(tmpdir(), 'simulator-'))
  await (await startSimulator({ dir: first })).stop()
  // As an earlier start would have kept it, long ago and on ports that are nobody's.
  const kept = JSON.parse(await readFile(join(first, 'simulator.json'), 'utf8')) as object
  certificates = JSON.stringify({ ...kept, startTime: 0, tapPort: 0, devoPort: 0, config: '' })
  await rm(first, { recursive: true })
})
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'simulator-'))
})
afterEach(async () => {
  for (const simulator of running.splice(0)) await simulator.stop()
  await rm(dir, { recursive: true })
})

/** In an empty folder. */
async function startAnew(options: Partial<SimulatorOptions> = {}): Promise<Simulator> {
  const simulator = await startSimulator({ dir, ...options })
  running.push(simulator)
  return simulator
}

async function start(options: Partial<SimulatorOptions> = {}): Promise<Simulator> {
  if ((await readdir(dir)).length === 0) await writeFile(join(dir, 'simulator.json'), certificates, { mode: 0o600 })
  return startAnew(options)
}

async function load(simulator: Simulator) {
  return loadConfig({ file: simulator.configPath, env: {}, now: Date.now() })
}

/** One request as the configuration in the folder says; its status and text. */
async function ask(simulator: Simulator, path: string, interval?: string): Promise<{ status: number; body: string }> {
  const input = (await load(simulator)).config.inputs[0]
  const end = new Date(simulator.tap.model.serverTime()).toISOString()
  const [response] = (await once(
    https.get(`${input?.baseUrl ?? ''}${path}?format=json&interval=${interval ?? `PT10M/${end}`}`, {
      agent: false,
      ca: await readFile(input?.ca ?? ''),
      auth: `${input?.username ?? ''}:${input?.password ?? ''}`,
    }),
    'response',
  )) as [Parameters<typeof text>[0] & { statusCode: number }]
  return { status: response.statusCode, body: await text(response) }
}

/** A connection to Devo as the configuration in the folder says. */
async function connect(simulator: Simulator): Promise<tls.TLSSocket> {
  const output = (await load(simulator)).config.outputs[0]
  if (output?.type !== 'devo_platform') throw new Error('the configuration has no Devo output')
  const { address, port, chain, cert, key } = output.config
  const [ca, certificate, privateKey] = await Promise.all([chain, cert, key].map((path) => readFile(path)))
  const socket = tls.connect({ host: address, port, ca, cert: certificate, key: privateKey })
  socket.on('error', () => undefined)
  socket.resume()
  return socket
}

function lineOf(body: string): string {
  return `<14>2026-11-20 12:00:00.000 host mail.proofpoint.tapsiem_v2.clicksblocked: ${body}\n`
}

/** Sends lines on a connection of their own, until it is closed. */
async function send(simulator: Simulator, ...bodies: string[]): Promise<void> {
  const socket = await connect(simulator)
  socket.end(bodies.map(lineOf).join(''))
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
}

async function expectNobodyAt(port: number): Promise<void> {
  const socket = net.connect(port, '127.0.0.1')
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  expect(error.code).toBe('ECONNREFUSED')
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort()
}

describe('the folder', () => {
  test('has a configuration that the collector takes as it is, with all four services', async () => {
    const simulator = await startAnew({ requestPeriodInSeconds: 7, lookBackInMinutes: 3, requestsPerDay: 5_000, httpPort: 0 })
    const { config, warnings } = await load(simulator)
    expect(warnings).toEqual([])
    expect(config).toMatchObject({ root: dir, stateDir: join(dir, 'state'), http: { host: '127.0.0.1', port: 0 } })
    const [input] = config.inputs
    expect(input).toMatchObject({ baseUrl: simulator.tap.baseUrl, requestsLimits: [{ periodMs: DAY, requests: 5_000 }] })
    expect(simulator.tap.model.settings.quota).toBe(5_000)
    expect(input?.services.map(({ name }) => name)).toEqual(['clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered'])
    for (const { startTime, requestPeriodMs, lookBackMs, sweepPeriodMs } of input?.services ?? []) {
      expect(Date.now() - (startTime ?? 0)).toBeGreaterThanOrEqual(10 * MINUTE)
      expect(Date.now() - (startTime ?? 0)).toBeLessThan(11 * MINUTE)
      expect({ requestPeriodMs, lookBackMs, sweepPeriodMs }).toEqual({ requestPeriodMs: 7_000, lookBackMs: 3 * MINUTE, sweepPeriodMs: 0 })
    }
    expect(config.outputs).toMatchObject([{ type: 'devo_platform', config: { address: '127.0.0.1', port: simulator.receiver.port, confirm: 'drain' } }])
  })

  test('holds nothing else, and the keys are for the owner alone', async () => {
    await startAnew()
    expect(await filesIn(dir)).toEqual(['certs/chain.crt', 'certs/me.crt', 'certs/me.key', 'certs/tap-ca.crt', 'config/config.yaml', 'simulator.json'])
    expect((await readdir(dir)).sort()).toEqual(['certs', 'config', 'simulator.json', 'state'])
    for (const file of ['certs/me.key', 'simulator.json']) expect((await stat(join(dir, file))).mode & 0o077).toBe(0)
  })

  test('of somebody else is refused and left alone', async () => {
    await mkdir(join(dir, 'config'))
    await writeFile(join(dir, 'config', 'config.yaml'), 'mine: true\n')
    await expect(startAnew()).rejects.toThrow(FatalError)
    await expect(startAnew()).rejects.toThrow(/was not written by the simulator/)
    expect(await filesIn(dir)).toEqual(['config/config.yaml'])
  })
})

describe('both servers', () => {
  test('work with what the configuration says', async () => {
    const lines: string[] = []
    const simulator = await start({ onLine: (line) => void lines.push(line.toString()) })
    for (const path of Object.keys(TAP_ENDPOINTS)) {
      const { status, body } = await ask(simulator, path)
      expect(status).toBe(200)
      expect(body.length).toBeGreaterThan(10_000)
    }
    await send(simulator, '{"a":1}', '{"a":2}')
    expect(simulator.receiver.events).toBe(2)
    expect(lines).toHaveLength(2)
    expect(lines[0]).toMatch(/: \{"a":1\}$/)
  })

  test('are described in words, with what a person needs to run the collector', async () => {
    const simulator = await start({ control: true })
    const words = simulator.describe().join('\n')
    for (const part of [simulator.tap.baseUrl, String(simulator.receiver.port), simulator.configPath, dir, simulator.control?.url ?? 'none']) {
      expect(words).toContain(part)
    }
    expect(await (await fetch(simulator.control?.url ?? '')).json()).toMatchObject({ baseUrl: simulator.tap.baseUrl })
  })

  test('stop for good, also twice', async () => {
    const simulator = await start({ control: true, faults: true, pauseBetweenFaultsMs: 0 })
    await simulator.stop()
    await simulator.stop()
    await expectNobodyAt(simulator.tap.port)
    await expectNobodyAt(simulator.receiver.port)
  })

  test('stay stopped although a fault was just about to let connections in again', async () => {
    const struck = Promise.withResolvers<null>()
    const away: ScriptedFault = {
      description: 'both are away',
      async strike({ tap, receiver, signal }) {
        tap.refuseConnections()
        receiver.refuseConnections()
        struck.resolve(null)
        await once(signal, 'abort')
        await receiver.acceptConnections()
        await tap.acceptConnections()
        throw signal.reason
      },
    }
    const simulator = await start({ faults: [away], pauseBetweenFaultsMs: 0 })
    await struck.promise
    await simulator.stop()
    await expectNobodyAt(simulator.tap.port)
    await expectNobodyAt(simulator.receiver.port)
  })
})

describe('started again in its folder', () => {
  test('it has the same ports, certificates, start and events', async () => {
    const first = await start()
    const before = await Promise.all((await filesIn(dir)).map((file) => readFile(join(dir, file), 'utf8')))
    const interval = `PT5M/${new Date(Date.now() - MINUTE).toISOString()}`
    first.tap.model.configure({ shuffle: false })
    const { body } = await ask(first, '/v2/siem/clicks/blocked', interval)
    const ports = [first.tap.port, first.receiver.port]
    await first.stop()
    const second = await start()
    expect([second.tap.port, second.receiver.port]).toEqual(ports)
    expect(await Promise.all((await filesIn(dir)).map((file) => readFile(join(dir, file), 'utf8')))).toEqual(before)
    second.tap.model.configure({ shuffle: false })
    expect((await ask(second, '/v2/siem/clicks/blocked', interval)).body).toBe(body)
  })

  test('a configuration that was changed by hand stays', async () => {
    const first = await start()
    const changed = (await readFile(first.configPath, 'utf8')).replace('name: simulator', 'name: mine')
    await first.stop()
    await writeFile(first.configPath, changed)
    const second = await start()
    expect(await readFile(second.configPath, 'utf8')).toBe(changed)
  })

  test('on other ports where the old ones are taken; the changed configuration is put aside', async () => {
    const first = await start()
    const { port } = first.tap
    const mine = `${await readFile(first.configPath, 'utf8')}# mine\n`
    await first.stop()
    await writeFile(first.configPath, mine)
    const squatter = net.createServer().listen(port, '127.0.0.1')
    await once(squatter, 'listening')
    const second = await start()
    squatter.close()
    expect(second.tap.port).not.toBe(port)
    expect((await load(second)).config.inputs[0]?.baseUrl).toBe(second.tap.baseUrl)
    expect(await readFile(`${second.configPath}.old`, 'utf8')).toBe(mine)
    expect((await ask(second, '/v2/siem/all')).status).toBe(200)
  })

  test('after a week it begins anew, for the API no longer serves the old start', async () => {
    const first = await start({ clock: { ...systemClock, now: () => Date.now() - 8 * DAY } })
    const old = (await load(first)).config.inputs[0]?.services[0]?.startTime ?? 0
    await first.stop()
    const second = await start()
    expect(((await load(second)).config.inputs[0]?.services[0]?.startTime ?? 0) - old).toBeGreaterThan(7 * DAY)
  })
})

describe('the script of faults', () => {
  /** Time stands still, and every sleep is over at once. */
  const hasty: Clock = { ...systemClock, sleep: async (_, signal) => signal?.throwIfAborted() }
  const api = '/v2/siem/clicks/permitted'

  /** Starts one fault of the demo, and tells how far it is. */
  async function play(start_: RegExp, rest: Partial<SimulatorOptions> = {}) {
    const phases: string[] = []
    const waiting: { phase: string; resolve: () => void }[] = []
    const faults = DEMO_SCRIPT.filter(({ description }) => start_.test(description))
    expect(faults).toHaveLength(1)
    const onFault = (description: string, phase: string) => {
      expect(description).toBe(faults[0]?.description)
      phases.push(phase)
      for (const waiter of waiting) if (waiter.phase === phase) waiter.resolve()
    }
    const simulator = await start({ clock: hasty, pauseBetweenFaultsMs: 0, faults, onFault, ...rest })
    const until = async (phase: string) => {
      if (!phases.includes(phase)) await new Promise<void>((resolve) => waiting.push({ phase, resolve }))
    }
    await until('begins')
    return { simulator, phases, until }
  }

  test('an error of the API ends after so many answers, and is overcome by a good one', async () => {
    const { simulator, phases, until } = await play(/429/)
    for (let count = 0; count < 4; count += 1) expect((await ask(simulator, api)).status).toBe(429)
    await until('ends')
    expect(phases).toEqual(['begins', 'ends'])
    expect((await ask(simulator, '/v2/siem/messages/blocked')).status).toBe(200)
    expect(phases).toEqual(['begins', 'ends'])
    expect((await ask(simulator, api)).status).toBe(200)
    await until('recovered')
  })

  test('Devo resets a shipment; overcome when another one brings events', async () => {
    const { simulator, until, phases } = await play(/resets the connection/)
    const struck = await connect(simulator)
    const [first = '', ...rest] = lineOf('1')
    struck.write(first)
    await until('ends')
    struck.write(`${rest.join('')}${lineOf('2')}${lineOf('3')}`)
    await new Promise((resolve) => struck.once('close', resolve))
    expect(simulator.receiver.events).toBe(2)
    expect(phases).toEqual(['begins', 'ends'])
    await send(simulator, '1', '2', '3', '4')
    await until('recovered')
    expect(simulator.receiver.events).toBe(2 + 4)
  })

  test('Devo dies with a shipment in its memory', async () => {
    const { simulator, until } = await play(/dies before/)
    await send(simulator, '1', '2')
    await until('ends')
    expect(simulator.receiver.events).toBe(0)
    await send(simulator, '1', '2')
    await until('recovered')
    expect(simulator.receiver.events).toBe(2)
  })

  test('Devo is away, and takes connections again afterwards', async () => {
    const { simulator, until } = await play(/Devo is away/)
    await until('ends')
    await send(simulator, '1')
    await until('recovered')
  })

  test('the API is away, and answers again afterwards', async () => {
    const { simulator, until } = await play(/API is away/)
    await until('ends')
    expect((await ask(simulator, api)).status).toBe(200)
    await until('recovered')
  })

  test('late events are overcome when each of them has arrived', async () => {
    let offset = 0
    const clock = { ...hasty, now: () => Date.now() + offset }
    const { simulator, until, phases } = await play(/late/, { clock, eventsPerMinute: 0 })
    await until('ends')
    expect((await ask(simulator, api)).body).toContain('"clicksPermitted":[]')
    offset = 25_000
    // The test reads what the simulator wrote.
    const { clicksPermitted } = JSON.parse((await ask(simulator, api)).body) as { clicksPermitted: object[] }
    expect(clicksPermitted).toHaveLength(25)
    const lines = clicksPermitted.map((event) => JSON.stringify(event))
    await send(simulator, ...lines.slice(1))
    expect(phases).toEqual(['begins', 'ends'])
    await send(simulator, ...lines.slice(0, 1))
    await until('recovered')
  })

  test('plays one after the other, over and over; a fault that breaks ends it, and stop says so', async () => {
    const seen: string[] = []
    const fault = (description: string, strike: () => Promise<() => Promise<void>>) => ({ description, strike })
    let rounds = 0
    const broken = Promise.withResolvers<null>()
    const simulator = await start({
      clock: hasty,
      pauseBetweenFaultsMs: 0,
      onFault: (description, phase) => seen.push(`${description} ${phase}`),
      faults: [
        fault('first', async () => async () => undefined),
        fault('second', async () => {
          rounds += 1
          if (rounds === 2) {
            broken.resolve(null)
            throw new Error('broken script')
          }
          return async () => undefined
        }),
      ],
    })
    await broken.promise
    await expect(simulator.stop()).rejects.toThrow('broken script')
    running.splice(0)
    const round = ['first begins', 'first ends', 'first recovered', 'second begins']
    expect(seen).toEqual([...round, 'second ends', 'second recovered', ...round])
  })
})
