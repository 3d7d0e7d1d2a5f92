import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { stringify } from 'yaml'
import type { DevoReceiver } from '../../src/simulator/devo-receiver.ts'
import { TapTraffic } from '../../src/simulator/events.ts'
import type { TrafficOptions } from '../../src/simulator/events.ts'
import { makePem } from '../../src/simulator/simulator-folder.ts'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { HOUR_MS, MINUTE_MS, TAP_ARRAYS, writeTime } from '../../src/simulator/tap-api.ts'
import type { TapArray } from '../../src/simulator/tap-api.ts'
import type { TapModel, TapSettings } from '../../src/simulator/tap-model.ts'
import type { TapServer } from '../../src/simulator/tap-server.ts'
import type { TapEvent } from '../../src/simulator/tap-store.ts'
import { Arrivals, parseLine, shownEvents, textOf, type ParsedLine, type Text } from './arrivals.ts'
import { Collector, PATIENCE_MS, type Ended, type SpawnOptions } from './collector.ts'

const USERNAME = 'simulated-principal'
const PASSWORD = 'simulated-secret'
const MADE_AT = Date.now()
/** Keys take half a second to make: each file of tests makes one set. */
const pem = makePem()

/** The user's YAML as a tree; only what tests change has names. */
export interface ConfigFile {
  globals: { debug?: boolean; http: Record<string, unknown>; persistence: { type: string; config: { directory_name: string } }; [key: string]: unknown }
  outputs: Record<string, { type: string; config: Record<string, unknown>; [key: string]: unknown }>
  buffer?: unknown
  inputs: Record<string, { credentials: { username: string; password: string }; services: Record<string, Record<string, unknown>>; [key: string]: unknown }>
}

export interface WorldOptions {
  /** Events of each service in an hour; 0: none but those that the test adds. */
  readonly perHour?: number
  /** Of the traffic: default from the start on, for ever. */
  readonly traffic?: Partial<TrafficOptions>
  /** Where the services begin, before now. Default 60. */
  readonly backlogMinutes?: number
  readonly settings?: Partial<TapSettings>
  readonly configure?: (config: ConfigFile) => void
  /** Sees each line as it comes, and the number of its connection. */
  readonly onLine?: (line: ParsedLine, connection: number) => void
  /** Sees what the collector tells Devo of itself; without it such a line is a failure. */
  readonly onOwnLog?: (line: string, connection: number) => void
}

/** Both remote sides on loopback over TLS, a folder with certificates and a configuration, and an account of what must arrive. */
export interface World {
  readonly dir: string
  readonly configPath: string
  readonly stateDir: string
  /** Where the services begin, epoch milliseconds, and the end of what a collector that starts now can read at once. */
  readonly startTime: number
  readonly tap: TapServer
  readonly model: TapModel
  readonly receiver: DevoReceiver
  readonly arrivals: Arrivals
  /** Lines as they came, without their LF. */
  readonly lines: readonly string[]
  configure(change: (config: ConfigFile) => void): Promise<void>
  /** Starts the executable with `--config` behind the arguments. */
  start(args: readonly string[], options?: SpawnOptions): Collector
  run(args: readonly string[], options?: SpawnOptions): Promise<Ended>
  /** More events of the API, visible at once. */
  supply(options: TrafficOptions): void
  add(...events: readonly TapEvent[]): void
  /** Expects all events of all traffic that were created in [start, until]; resolves once they have arrived. */
  allArrive(until: number, patienceMs?: number): Promise<void>
  /** What is missing or came too often, measured by all that the API has shown. */
  compare(isDelivered?: (event: TapEvent) => boolean): { readonly missing: readonly Text[]; readonly surplus: readonly Text[]; readonly expected: number }
}

/** Starts everything and registers its end with the running test. */
export async function makeWorld(options: WorldOptions = {}): Promise<World> {
  const { perHour = 120, backlogMinutes = 60, settings } = options
  const dir = await mkdtemp(join(tmpdir(), 'tap-e2e-'))
  onTestFinished(async () => rm(dir, { recursive: true, force: true }))
  const startTime = Math.floor((Date.now() - backlogMinutes * MINUTE_MS) / 1_000) * 1_000
  // The simulator's own memory of an earlier start, so that it takes these certificates.
  await writeFile(join(dir, 'simulator.json'), JSON.stringify({ startTime: MADE_AT, tapPort: 0, devoPort: 0, config: '', pem: await pem }))
  const arrivals = new Arrivals()
  const lines: string[] = []
  const simulator = await startSimulator({
    dir,
    eventsPerMinute: 0,
    settings: { shuffle: false, ...settings },
    onLine: (line, connection) => {
      const text = line.toString()
      if (options.onOwnLog !== undefined && text.includes(' devo.collectors.out.')) {
        options.onOwnLog(text, connection)
        return
      }
      const parsed = parseLine(text)
      lines.push(text)
      arrivals.add(parsed.text)
      options.onLine?.(parsed, connection)
    },
  })
  onTestFinished(async () => simulator.stop())
  const { tap, receiver } = simulator
  const supplies: TapTraffic[] = []
  const added: TapEvent[] = []
  const supply = (traffic: TrafficOptions): void => {
    supplies.push(new TapTraffic(traffic))
    tap.model.events.supply(new TapTraffic(traffic))
  }
  if (perHour > 0) supply({ seed: 1, perHour, nasty: 0.2, twins: 0.1, from: startTime, ...options.traffic })

  const config = baseConfig(startTime, tap.baseUrl, receiver.port)
  options.configure?.(config)
  const configPath = join(dir, 'config', 'e2e.yaml')
  const write = async (): Promise<void> => writeFile(configPath, stringify(config))
  await write()
  const start = (args: readonly string[], spawnOptions: SpawnOptions = {}): Collector => new Collector([...args, '--config', configPath], spawnOptions)

  return {
    dir, configPath, stateDir: join(dir, 'state'), startTime, tap, model: tap.model, receiver, arrivals, lines, start, supply,
    async configure(change) {
      change(config)
      await write()
    },
    run: async (args, spawnOptions) => start(args, spawnOptions).end(),
    add(...events) {
      added.push(...events)
      tap.model.events.add(...events)
    },
    async allArrive(until, patienceMs = PATIENCE_MS) {
      const events = supplies.flatMap((traffic) => TAP_ARRAYS.flatMap((service) => [...traffic.between(service, startTime, until)]))
      arrivals.expect([...events, ...added].map(textOf))
      const late = setTimeout(() => void receiver.stop(), patienceMs)
      try {
        await receiver.until(() => arrivals.missing === 0)
      } catch (error) {
        throw new Error(`${arrivals.missing} of ${events.length + added.length} events have not arrived after ${patienceMs / 1_000} s`, { cause: error })
      } finally {
        clearTimeout(late)
      }
    },
    compare(isDelivered = () => true) {
      const events = shownEvents(tap.model).filter(isDelivered)
      arrivals.expect(events.map(textOf))
      return { ...arrivals.difference(), expected: events.length }
    },
  }
}

/** Short periods and times: everything is on one machine, and none of them is what a test is about. */
function baseConfig(startTime: number, baseUrl: string, devoPort: number): ConfigFile {
  const service = () => ({ start_time_in_utc_format: writeTime(startTime), request_period_in_seconds: 1, look_back_in_minutes: 2, sweep_period_in_minutes: 0 })
  return {
    globals: {
      name: 'e2e',
      persistence: { type: 'filesystem', config: { directory_name: 'state' } },
      http: { enabled: true, host: '127.0.0.1', port: 0 },
    },
    outputs: {
      devo_1: {
        type: 'devo_platform',
        config: {
          address: '127.0.0.1', port: devoPort, type: 'SSL', chain: 'chain.crt', cert: 'me.crt', key: 'me.key',
          quiet_in_milliseconds: 200, probe_in_milliseconds: 400, drain_timeout_in_seconds: 2,
        },
      },
    },
    inputs: {
      proofpoint_tap: {
        id: 12345,
        credentials: { username: USERNAME, password: PASSWORD },
        base_url: baseUrl,
        tls: { ca: 'tap-ca.crt' },
        requests_limits: [{ period: '1d', number_of_requests: -1 }],
        services: Object.fromEntries(TAP_ARRAYS.map((name: TapArray) => [name, service()])),
      },
    },
  }
}

/** What a collector that starts at `now` can read at once: the API's time less 30 s, and a second for each of the roundings. */
export function readableUntil(now = Date.now()): number {
  return now - 35_000
}

export { HOUR_MS, MINUTE_MS, writeTime }
