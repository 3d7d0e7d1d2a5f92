import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import net, { type AddressInfo } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type Authority, type Issued, writePemFiles } from '../../../src/simulator/certificates.ts'
import { eventually } from './plain-client.ts'

/** Where scripts/install-receivers.sh puts them. */
const root = join(process.env.RECEIVERS_DIR ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'devo-proofpoint-tap-collector', 'receivers'), 'root')

export const PROGRAMS = {
  rsyslogd: join(root, 'usr/sbin/rsyslogd'),
  'syslog-ng': join(root, 'usr/sbin/syslog-ng'),
  nginx: join(root, 'usr/sbin/nginx'),
  haproxy: join(root, 'usr/sbin/haproxy'),
  stunnel: join(root, 'usr/bin/stunnel4'),
  openssl: join(root, 'usr/bin/openssl'),
} as const
export type Program = keyof typeof PROGRAMS

/**
 * True where the program is missing and its tests are to be skipped, which is said aloud. With CI=true nothing is skipped: the tests then
 * fail, for want of the program.
 */
export function isMissing(program: Program): boolean {
  if (existsSync(PROGRAMS[program])) return false
  if (process.env.CI === 'true') return false
  console.warn(`SKIPPED: the tests against ${program}, which is not at ${PROGRAMS[program]}. Run scripts/install-receivers.sh to get it.`)
  return true
}

/** The program's own modules, below the unpacked packages. */
export function modulePath(kind: 'rsyslog' | 'nginx/modules' | 'syslog-ng'): string {
  const found = libraryFolders().map((folder) => join(folder, kind)).find((folder) => existsSync(folder))
  if (found === undefined) throw new Error(`no ${kind} modules below ${root}; run scripts/install-receivers.sh`)
  if (kind !== 'syslog-ng') return found
  const version = readdirSync(found).find((name) => /^\d+\.\d+$/.test(name))
  if (version === undefined) throw new Error(`no version folder in ${found}`)
  return join(found, version)
}

function libraryFolders(): string[] {
  const lib = join(root, 'usr/lib')
  const triples = existsSync(lib) ? readdirSync(lib).filter((name) => name.endsWith('-linux-gnu')) : []
  return [...triples.flatMap((name) => [join(lib, name), join(root, 'lib', name)]), lib, join(lib, 'syslog-ng')]
}

export interface Running {
  readonly port: number
  readonly child: ChildProcess
  /** What it printed so far. */
  readonly output: () => string
}

export interface Place {
  /** A folder of its own, gone after the test. */
  readonly folder: string
  readonly port: number
  /** Paths of PEM files: authority, certificate with its intermediates, key, and the last two in one. */
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly pair: string
}

export async function makePlace(authority: Authority, certificate: Issued): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'receiver-'))
  onTestFinished(async () => rm(folder, { recursive: true, force: true }))
  await writePemFiles(folder, {
    'ca.pem': authority.certPem, 'cert.pem': certificate.chainPem, 'key.pem': certificate.keyPem, 'pair.pem': certificate.chainPem + certificate.keyPem,
  })
  const path = (name: string) => join(folder, name)
  return { folder, port: await freePort(), ca: path('ca.pem'), cert: path('cert.pem'), key: path('key.pem'), pair: path('pair.pem') }
}

/** Starts a program in the foreground with a configuration file and waits until it accepts connections. It is killed after the test. */
export async function startProgram(program: Program, place: Place, config: string, argumentsFor: (configPath: string) => readonly string[]): Promise<Running> {
  if (!existsSync(PROGRAMS[program])) throw new Error(`${program} is not at ${PROGRAMS[program]}: run scripts/install-receivers.sh`)
  const configPath = join(place.folder, 'program.conf')
  await writeFile(configPath, config)
  const child = spawn(PROGRAMS[program], argumentsFor(configPath), {
    cwd: place.folder,
    env: { ...process.env, LD_LIBRARY_PATH: libraryFolders().join(':'), OPENSSL_CONF: '/dev/null' },
    // A program that reads its standard input (openssl s_server) must not find its end there.
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let output = ''
  let failure: Error | null = null
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-20_000)))
  child.on('error', (error) => (failure = error))
  onTestFinished(async () => kill(child))
  await eventually(async () => {
    if (failure !== null || child.exitCode !== null) throw new Error(`${program} did not start: ${output}`, { cause: failure })
    return accepts(place.port)
  }, `${program} to listen on port ${place.port}`)
  return { port: place.port, child, output: () => output }
}

export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/** A port that was free a moment ago; for programs that cannot be asked to choose one. */
export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // a listening TCP server's address is never a path
  server.close()
  await once(server, 'close')
  return port
}

async function accepts(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
