import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** Apache Kafka as Maven Central has it; one node, KRaft. */
const VERSION = '4.3.1'
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'devo-proofpoint-tap-collector', `kafka-${VERSION}`)

export interface TestBroker {
  readonly brokers: string[]
  /** Ends the process; SIGTERM waits for a clean shutdown. */
  stop(signal?: NodeJS.Signals): Promise<void>
  /** Again on the same port and data. */
  start(): Promise<void>
  dispose(): Promise<void>
}

export function hasBroker(): boolean {
  if (process.env.KAFKA_BROKERS !== undefined) return true
  try {
    execFileSync('java', ['-version'], { stdio: 'ignore' })
    execFileSync('mvn', ['-v'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Brings the jars once for this user. */
export function installKafka(): string {
  const lib = join(CACHE, 'lib')
  if (existsSync(join(CACHE, 'complete'))) return lib
  mkdirSync(CACHE, { recursive: true })
  writeFileSync(
    join(CACHE, 'pom.xml'),
    `<project><modelVersion>4.0.0</modelVersion><groupId>test</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${VERSION}</version></dependency>
</dependencies></project>`,
  )
  execFileSync('mvn', ['-q', '-B', 'dependency:copy-dependencies', `-DoutputDirectory=${lib}`], { cwd: CACHE, stdio: ['ignore', 'ignore', 'inherit'] })
  if (readdirSync(lib).length < 10) throw new Error('Maven brought no jars of Kafka')
  writeFileSync(join(CACHE, 'complete'), '')
  return lib
}

export interface BrokerOptions {
  /** Lines of server.properties beside or instead of the usual ones. */
  readonly properties?: Readonly<Record<string, string>>
  /** Lines for StorageTool's --add-scram. */
  readonly scram?: readonly string[]
  readonly protocol?: 'PLAINTEXT' | 'SSL' | 'SASL_SSL' | 'SASL_PLAINTEXT'
}

export async function startBroker({ properties = {}, scram = [], protocol = 'PLAINTEXT' }: BrokerOptions = {}): Promise<TestBroker> {
  const lib = installKafka()
  const dir = mkdtempSync(join(tmpdir(), 'tap-kafka-'))
  const [port, controller] = await Promise.all([freePort(), freePort()])
  const config = join(dir, 'server.properties')
  const lines = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: `CLIENT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': `CLIENT://127.0.0.1:${port}`,
    'listener.security.protocol.map': `CLIENT:${protocol},CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT`,
    'inter.broker.listener.name': 'CLIENT',
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': join(dir, 'data'),
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    'auto.create.topics.enable': 'false',
    'log.cleaner.backoff.ms': '1000',
    ...properties,
  }
  writeFileSync(config, Object.entries(lines).map(([key, value]) => `${key}=${value}\n`).join(''))
  const java = (...args: string[]): string[] => ['-XX:TieredStopAtLevel=1', '-cp', `${lib}/*`, ...args]
  const users = scram.flatMap((user) => ['--add-scram', user])
  execFileSync('java', java('kafka.tools.StorageTool', 'format', '-t', 'dGFwLWNvbGxlY3Rvci10ZQ', '-c', config, ...users), { stdio: ['ignore', 'ignore', 'pipe'] })

  let child: ChildProcess | null = null
  let output = ''
  const start = async (): Promise<void> => {
    // The shell ends the broker when this process is gone and with it the other end of its standard input.
    const script = 'java "$@" & pid=$!; trap "kill $pid" TERM; (cat >/dev/null; kill -9 $pid) <&3 & wait $pid; wait $pid'
    const started = spawn('bash', ['-c', `exec 3<&0; ${script}`, 'broker', '-Xmx384m', ...java('kafka.Kafka', config)], { stdio: ['pipe', 'pipe', 'pipe'] })
    child = started
    const keep = (text: Buffer): void => void (output = (output + text.toString()).slice(-20_000))
    started.stdout.on('data', keep)
    started.stderr.on('data', keep)
    while (!(await answers(port))) {
      if (started.exitCode !== null) throw new Error(`Kafka did not start:\n${output}`)
      await pause(100)
    }
  }
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    const running = child
    child = null
    if (running?.exitCode !== null) return
    const ended = new Promise((resolve) => running.once('close', resolve))
    if (signal === 'SIGTERM') running.kill('SIGTERM')
    else running.stdin?.end()
    await ended
  }
  await start()
  return {
    brokers: [`127.0.0.1:${port}`],
    start,
    stop,
    dispose: async () => {
      await stop('SIGKILL')
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
