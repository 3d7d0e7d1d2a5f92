import { join, resolve } from 'node:path'
import type { Clock } from '../pipeline/clock.ts'
import { systemClock } from '../pipeline/clock.ts'
import { DevoReceiver } from './devo-receiver.ts'
import { TapTraffic } from './events.ts'
import { makePem, SimulatorFolder } from './simulator-folder.ts'
import type { KeptState } from './simulator-folder.ts'
import { DEMO_SCRIPT, playScript } from './simulator-script.ts'
import type { FaultPhase, ScriptedFault } from './simulator-script.ts'
import { MINUTE_MS, TAP_ARRAYS, writeTime } from './tap-api.ts'
import { TapControl } from './tap-control.ts'
import { TapModel } from './tap-model.ts'
import type { TapSettings } from './tap-model.ts'
import { TapServer } from './tap-server.ts'

export interface SimulatorOptions {
  /** The simulator writes nothing outside it. Made where it is missing. */
  readonly dir: string
  readonly seed?: number
  /** Of each of the four services. Default 30. */
  readonly eventsPerMinute?: number
  /** The share of odd but allowed events, of twins, and of events that are shown up to a minute late. */
  readonly nasty?: number
  readonly twins?: number
  readonly late?: number
  /** How far before now the services begin, at a first start. Default 10. */
  readonly backlogMinutes?: number
  /** What the written configuration says. */
  readonly requestPeriodInSeconds?: number
  readonly lookBackInMinutes?: number
  readonly sweepPeriodInMinutes?: number
  /** The quota of each pool. The real one is 1,800, which a short period uses up within hours; so the default is 1,000,000. */
  readonly requestsPerDay?: number
  /** The port of the collector's status page. Default 8080. */
  readonly httpPort?: number
  readonly settings?: Partial<TapSettings>
  /** What goes wrong in turn, `DEMO_SCRIPT` for `true`; default: nothing. */
  readonly faults?: boolean | readonly ScriptedFault[]
  readonly pauseBetweenFaultsMs?: number
  readonly onFault?: (description: string, phase: FaultPhase) => void
  /** Gets each line that Devo received, without its LF (a view, to be copied by whoever keeps it), and the number of its connection. */
  readonly onLine?: (line: Buffer, connection: number) => void
  /** A control port for the TAP side (see TapCommand). */
  readonly control?: boolean
  readonly clock?: Clock
}

export interface Simulator {
  readonly dir: string
  readonly configPath: string
  readonly tap: TapServer
  readonly receiver: DevoReceiver
  readonly traffic: TapTraffic
  readonly control: TapControl | null
  /** Lines that tell a person what runs where. */
  describe(): readonly string[]
  /** Safe at any time, also twice. Rejects with the error that ended the script of faults, if one did. */
  stop(): Promise<void>
}

const USERNAME = 'simulated-principal'
const PASSWORD = 'simulated-secret'

/**
 * A TAP API over TLS and a Devo receiver on loopback, with certificates and a configuration for the collector in `dir`. Started again
 * there, it keeps ports (where they are free), certificates and traffic. Throws FatalError where the folder belongs to something else.
 */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const { seed = 1, eventsPerMinute = 30, nasty = 0.1, twins = 0.05, late = 0.05, requestsPerDay = 1_000_000, clock = systemClock } = options
  const folder = new SimulatorFolder(resolve(options.dir))
  const kept = await folder.readKept(clock.now())
  const pem = kept?.pem ?? (await makePem())

  const now = () => clock.now()
  const model = new TapModel({ now, seed, username: USERNAME, password: PASSWORD, settings: { quota: requestsPerDay, ...options.settings } })
  const traffic = new TapTraffic({ seed, perHour: eventsPerMinute * 60, nasty, twins, late, lateByMs: MINUTE_MS })
  model.events.supply(traffic)
  const arrivals = new Arrivals()
  const stopping = new AbortController()
  const script = { playing: Promise.resolve() }
  const running: { stop(): Promise<void> }[] = []
  const stop = async (): Promise<void> => {
    stopping.abort(new Error('the simulator was stopped'))
    // First the script: it may be about to let connections in again.
    await Promise.allSettled([script.playing])
    await Promise.all(running.map((part) => part.stop()))
    await script.playing
  }

  try {
    const tap = await startOnPort(kept?.tapPort ?? 0, async (port) =>
      new TapServer({ model, port, clock, certificate: { chainPem: pem.tapChain, keyPem: pem.tapKey } }).start(),
    )
    running.push(tap)
    const receiver = await startOnPort(kept?.devoPort ?? 0, async (port) =>
      new DevoReceiver({
        port,
        clock,
        certificate: { chainPem: pem.devoChain, keyPem: pem.devoKey },
        clientAuthority: pem.devoCa,
        onLine: (line, connection) => {
          arrivals.see(line)
          options.onLine?.(line, connection)
        },
      }).start(),
    )
    running.push(receiver)
    const control = options.control === true ? await new TapControl(tap).start() : null
    if (control !== null) running.push(control)

    const startTime = kept?.startTime ?? clock.now() - (options.backlogMinutes ?? 10) * MINUTE_MS
    const state: KeptState = { startTime, tapPort: tap.port, devoPort: receiver.port, pem, config: '' }
    await folder.write({ ...state, config: writeConfig(options, state, tap.baseUrl, requestsPerDay) }, kept)

    const context = { tap, receiver, clock, expect: (texts: readonly string[]) => arrivals.expect(texts), signal: stopping.signal }
    script.playing = playScript(faultsOf(options), options.pauseBetweenFaultsMs ?? 10_000, context, options.onFault ?? (() => undefined))
    // Whoever stops the simulator gets it.
    script.playing.catch(() => undefined)
    return {
      dir: folder.dir,
      configPath: folder.configPath,
      tap,
      receiver,
      traffic,
      control,
      describe: () => [
        `TAP API    ${tap.baseUrl}  user ${USERNAME}, password ${PASSWORD}; ${eventsPerMinute} events a minute for each of ${TAP_ARRAYS.length} services`,
        `Devo       127.0.0.1:${receiver.port}  TLS, client certificate ${join(folder.dir, 'certs', 'me.crt')}`,
        ...(control === null ? [] : [`Control    ${control.url}`]),
        `Folder     ${folder.dir}  config/, certs/, state/`,
        `Collector  tap-collector run --config ${folder.configPath}`,
      ],
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function faultsOf({ faults = false }: SimulatorOptions): readonly ScriptedFault[] {
  if (typeof faults !== 'boolean') return faults
  return faults ? DEMO_SCRIPT : []
}

/** On the port of the last time, or on any other one where that is taken now. */
async function startOnPort<T>(port: number, start: (port: number) => Promise<T>): Promise<T> {
  try {
    return await start(port)
  } catch (error) {
    if (port === 0 || !(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error
    return start(0)
  }
}

/** Looks for texts in received lines; costs nothing while none is expected. */
class Arrivals {
  readonly #missing = new Set<string>()

  see(line: Buffer): void {
    for (const text of this.#missing) if (line.includes(text)) this.#missing.delete(text)
  }

  expect(texts: readonly string[]): () => boolean {
    for (const text of texts) this.#missing.add(text)
    return () => texts.every((text) => !this.#missing.has(text))
  }
}

function writeConfig(options: SimulatorOptions, { startTime, devoPort }: KeptState, baseUrl: string, requestsPerDay: number): string {
  const { requestPeriodInSeconds = 5, lookBackInMinutes = 2, sweepPeriodInMinutes = 0, httpPort = 8080 } = options
  const services = TAP_ARRAYS.map(
    (service) => `      ${service}:
        start_time_in_utc_format: ${writeTime(startTime)}
        request_period_in_seconds: ${requestPeriodInSeconds}
        look_back_in_minutes: ${lookBackInMinutes}
        sweep_period_in_minutes: ${sweepPeriodInMinutes}
`,
  )
  return `# Written by the simulator, for its own TAP API and Devo receiver on this machine. The short periods and the large quota suit
# only them: the real API allows 1,800 requests a day for clicksPermitted, and 1,800 for the three others together.
globals:
  name: simulator
  persistence: {type: filesystem, config: {directory_name: state}}
  http: {enabled: true, host: 127.0.0.1, port: ${httpPort}}
outputs:
  devo_1:
    type: devo_platform
    config:
      address: 127.0.0.1
      port: ${devoPort}
      type: SSL
      chain: chain.crt
      cert: me.crt
      key: me.key
      quiet_in_milliseconds: 500
      probe_in_milliseconds: 1000
inputs:
  proofpoint_tap:
    id: 12345
    credentials: {username: ${USERNAME}, password: ${PASSWORD}}
    base_url: ${baseUrl}
    tls: {ca: tap-ca.crt}
    requests_limits: [{period: 1d, number_of_requests: ${requestsPerDay}}]
    services:
${services.join('')}`
}
