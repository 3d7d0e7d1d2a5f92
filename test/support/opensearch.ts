import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe } from 'vitest'
import { freePort } from './kafka-probe.ts'

const INSTALL = fileURLToPath(new URL('../../scripts/install-opensearch.sh', import.meta.url))
const ONE_NODE = fileURLToPath(new URL('./opensearch/OneNode.java', import.meta.url))
const QUICK_START = ['-Xmx384m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']

/** Without OpenSearch a developer goes without, and the run says so; a build fails. */
export const describeOpenSearch = describe.skipIf(process.env.CI === undefined && spawnSync('bash', [INSTALL, '--check'], { stdio: 'ignore' }).status !== 0)

/** A real OpenSearch of one node, without TLS and login. It ends with this process in any case. */
export interface OpenSearch {
  readonly url: string
  /** Asks it for something; throws where the status is not as expected. */
  ask(method: string, path: string, body?: unknown): Promise<unknown>
  /** SIGKILL, which leaves it no time for anything. */
  kill(): Promise<void>
  /** Again on the same port and data; resolves when it serves. */
  start(): Promise<void>
  dispose(): Promise<void>
}

/** Resolves when it serves. Throws what it said where it does not start. */
export async function startOpenSearch(settings: Readonly<Record<string, string>>): Promise<OpenSearch> {
  const jars = execFileSync('bash', [INSTALL], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' }).trim()
  const home = await mkdtemp(join(tmpdir(), 'tap-opensearch-'))
  await mkdir(join(home, 'config'))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  let node: ChildProcess | null = null

  async function start(): Promise<void> {
    const pairs = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
    const started = spawn('java', [...QUICK_START, '-cp', `${jars}/*`, ONE_NODE, home, String(port), ...pairs], { stdio: ['pipe', 'pipe', 'pipe'] })
    node = started
    started.stdin.on('error', () => undefined)
    let output = ''
    const begun = Promise.withResolvers<null>()
    for (const stream of [started.stdout, started.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-20_000)
        if (output.includes('started\n')) begun.resolve(null)
      })
    }
    started.once('close', () => begun.reject(new Error(`OpenSearch did not start:\n${output}`)))
    started.once('error', begun.reject)
    await begun.promise
  }

  async function kill(): Promise<void> {
    const running = node
    node = null
    if (running?.exitCode !== null || running.signalCode !== null) return
    const ended = once(running, 'close')
    running.kill('SIGKILL')
    await ended
  }

  async function dispose(): Promise<void> {
    await kill()
    await rm(home, { recursive: true })
  }

  try {
    await start()
  } catch (error) {
    await dispose()
    throw error
  }
  return {
    url, kill, start, dispose,
    async ask(method, path, body) {
      const response = await fetch(url + path, { method, ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }) })
      const answer: unknown = await response.json()
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`)
      return answer
    },
  }
}
