import { execFile, execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { KafkaConnection } from '../../src/kafka/client.ts'
import type { Authority } from '../../src/simulator/certificates.ts'
import { freePort, isServing } from './kafka-probe.ts'
import { makeSecurity, type Protocol } from './kafka-security.ts'

const INSTALL = fileURLToPath(new URL('../../scripts/install-kafka.sh', import.meta.url))
const START_TIMEOUT_MS = 60_000

/** Brokers that run already, as KAFKA_BROKERS names them: addresses with commas between them, no TLS, no SASL. */
export function givenBrokers(): string[] | null {
  const given = process.env.KAFKA_BROKERS
  return given === undefined || given === '' ? null : given.split(',')
}

export function hasBroker(): boolean {
  return givenBrokers() !== null || canStartBroker()
}

/** True where `startBroker` finds Java and has nothing to fetch. */
export function canStartBroker(): boolean {
  canStart ??= spawnSync('bash', [INSTALL, '--check'], { stdio: 'ignore' }).status === 0
  return canStart
}
let canStart: boolean | null = null

/** The folder of Kafka's jars, which are fetched where they are missing. Throws where that cannot be done; the reason is on stderr. */
export function installKafka(): string {
  // The tests that end or pause a broker need one of their own, whatever KAFKA_BROKERS says.
  const jars = execFileSync('bash', [INSTALL], { env: withoutBrokers(), stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' }).trim()
  canStart = true
  return jars
}

function withoutBrokers(): NodeJS.ProcessEnv {
  const { KAFKA_BROKERS: _, ...env } = process.env
  return env
}

export interface BrokerOptions {
  /** Lines of server.properties beside or instead of the usual ones; listeners and folders stay as they are. */
  readonly properties?: Readonly<Record<string, string>>
  /** Lines for StorageTool's --add-scram, beside the user that a broker with SASL has anyway. */
  readonly scram?: readonly string[]
  /** What clients have to speak. Certificate, user and passwords are made; `connection` has the client's side. */
  readonly protocol?: Protocol
  /** Any free one by default. */
  readonly port?: number
  /** Options of the broker's JVM, instead of those that make it start soon. */
  readonly jvm?: readonly string[]
}

/** A broker of its own, one node that is its own controller. It ends, and its folder goes, with `dispose` or with this process. */
export interface TestBroker {
  readonly brokers: string[]
  /** How the client of a test gets in. PLAIN and both kinds of SCRAM take the same user. */
  readonly connection: KafkaConnection
  /** Signed the broker's certificate; certificates for clients come from it. Null without TLS. */
  readonly authority: Authority | null
  readonly dir: string
  /** Of the Java process; null while there is none. */
  readonly pid: number | null
  /** Ends the process and waits for its end: SIGTERM for a clean shutdown, SIGKILL for none. */
  stop(signal?: NodeJS.Signals): Promise<void>
  /** Again on the same port and data; resolves when it serves. */
  start(): Promise<void>
  /** Connections stay and requests wait, until `continue`. */
  pause(): void
  continue(): void
  dispose(): Promise<void>
}

/** Resolves when the broker serves. Throws what Kafka said where it does not start. */
export async function startBroker(options: BrokerOptions = {}): Promise<TestBroker> {
  const protocol = options.protocol ?? 'PLAINTEXT'
  const jars = installKafka()
  const security = await makeSecurity(protocol)
  const ports = { client: options.port ?? (await freePort()), controller: await freePort(), test: await freePort() }
  const dir = await mkdtemp(join(tmpdir(), 'tap-kafka-'))
  const watchdog = guard(dir)
  let broker: ChildProcess | null = null

  async function start(): Promise<void> {
    if (broker !== null) throw new Error('the broker runs already')
    const started = spawn('java', [...(options.jvm ?? QUICK_START), '-cp', `${jars}/*`, 'kafka.Kafka', config], { stdio: ['ignore', 'pipe', 'pipe'] })
    broker = started
    watchdog.watch(started)
    let output = ''
    const keep = (text: Buffer): void => void (output = (output + text.toString()).slice(-20_000))
    started.stdout.on('data', keep)
    started.stderr.on('data', keep)
    const deadline = Date.now() + START_TIMEOUT_MS
    while (!(await isServing(ports.test))) {
      if (hasEnded(started) || Date.now() > deadline) throw new Error(`Kafka did not start:\n${output}`)
      await wait(50)
    }
  }

  async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const running = broker
    broker = null
    if (running === null || hasEnded(running)) return
    const ended = once(running, 'close')
    running.kill(signal)
    // One that is paused would not hear it.
    running.kill('SIGCONT')
    await ended
  }

  async function dispose(): Promise<void> {
    await stop('SIGKILL')
    await watchdog.end()
  }

  const config = join(dir, 'server.properties')
  try {
    const lines = { ...USUAL, ...security.properties, ...options.properties, ...listeners(protocol, ports, options.properties), 'log.dirs': join(dir, 'data') }
    await writeFile(config, Object.entries(lines).map(([key, value]) => `${key}=${value}\n`).join(''))
    const users = [...(options.scram ?? security.scram)].flatMap((user) => ['--add-scram', user])
    await promisify(execFile)('java', [...QUICK_START, '-cp', `${jars}/*`, 'kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', config, ...users])
    await start()
  } catch (error) {
    await dispose()
    throw error
  }
  const brokers = [`127.0.0.1:${ports.client}`]
  return {
    brokers,
    connection: { brokers, ...security.connection },
    authority: security.authority,
    dir,
    get pid() {
      return broker?.pid ?? null
    },
    stop,
    start,
    pause: () => void broker?.kill('SIGSTOP'),
    continue: () => void broker?.kill('SIGCONT'),
    dispose,
  }
}

const QUICK_START = ['-Xmx384m', '-XX:TieredStopAtLevel=1']
const CLUSTER_ID = 'dGFwLWNvbGxlY3Rvci10ZQ'

/** What a single node needs, and what makes it quick. */
const USUAL = {
  'process.roles': 'broker,controller',
  'node.id': '1',
  'offsets.topic.replication.factor': '1',
  'offsets.topic.num.partitions': '1',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'transaction.state.log.num.partitions': '1',
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'group.initial.rebalance.delay.ms': '0',
  'group.min.session.timeout.ms': '1000',
  'auto.create.topics.enable': 'false',
  'log.cleaner.backoff.ms': '1000',
}

/** CLIENT as the test wants it; TEST is open to all, for the question whether the broker serves, and for what it asks itself. */
function listeners(
  protocol: Protocol,
  ports: { readonly client: number; readonly controller: number; readonly test: number },
  given: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const reachable = `CLIENT://127.0.0.1:${ports.client},TEST://127.0.0.1:${ports.test}`
  return {
    listeners: `${reachable},CONTROLLER://127.0.0.1:${ports.controller}`,
    'advertised.listeners': reachable,
    'listener.security.protocol.map': `${given['listener.security.protocol.map'] ?? `CLIENT:${protocol},CONTROLLER:PLAINTEXT`},TEST:PLAINTEXT`,
    'inter.broker.listener.name': given['inter.broker.listener.name'] ?? 'TEST',
    'controller.listener.names': 'CONTROLLER',
    'controller.quorum.voters': `1@127.0.0.1:${ports.controller}`,
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/**
 * A process that outlives this one by a moment, however it ends: kills the Java process it was last told of, and removes the folder.
 * It knows by its standard input, whose other end goes with this process.
 */
function guard(dir: string): { watch(child: ChildProcess): void; end(): Promise<void> } {
  const script = 'pid=; while read -r line; do pid=$line; done; [ -z "$pid" ] || kill -9 "$pid"; rm -rf "$0" || { sleep 1; rm -rf "$0"; }'
  // In a group of its own: a Ctrl-C in the terminal is not for it.
  const shell = spawn('sh', ['-c', script, dir], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  shell.stdin.on('error', () => undefined)
  return {
    watch(child) {
      if (child.pid === undefined) return
      shell.stdin.write(`${child.pid}\n`)
      // Its number may become another process's.
      child.once('exit', () => void shell.stdin.write('\n'))
    },
    async end() {
      if (hasEnded(shell)) return
      const ended = once(shell, 'close')
      shell.stdin.end()
      await ended
    },
  }
}
