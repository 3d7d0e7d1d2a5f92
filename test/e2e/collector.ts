import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

/** The built executable; TAP_COLLECTOR_CLI names another one, an installed package's for instance. */
const CLI = process.env.TAP_COLLECTOR_CLI ?? fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

/** How long a test waits for what must happen, before it tells what happened instead. */
export const PATIENCE_MS = 25_000

export interface LogEntry {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface SpawnOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Default: the Node that runs the tests. */
  readonly node?: string
  /** Default: the built executable. */
  readonly cli?: string
  /** Leaves standard output unread, as a reader that hangs does. */
  readonly leaveStdout?: boolean
}

/** One process of the built executable. It is killed with the test that has started it. */
export class Collector {
  readonly ended: Promise<Ended>
  stdout = ''
  stderr = ''
  readonly #child: ChildProcess
  readonly #entries: LogEntry[] = []
  readonly #rest = { stdout: '', stderr: '' }
  readonly #changed = new Set<() => void>()
  #isOver = false

  /** Anything that Node calls deprecated is a failure. */
  constructor(args: readonly string[], { cwd, env = {}, node = process.execPath, cli = CLI, leaveStdout = false }: SpawnOptions = {}) {
    const { PATH, NODE_COMPILE_CACHE } = process.env
    this.#child = spawn(node, [cli, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH, NODE_COMPILE_CACHE, NODE_OPTIONS: '--throw-deprecation', ...env } })
    for (const name of ['stdout', 'stderr'] as const) {
      if (name === 'stdout' && leaveStdout) continue
      this.#child[name]?.setEncoding('utf8').on('data', (text: string) => this.#read(name, text))
    }
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.once(leaveStdout ? 'exit' : 'close', (code: number | null, signal: NodeJS.Signals | null) => {
        this.#isOver = true
        this.#tell()
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr })
      })
    })
    onTestFinished(async () => {
      this.#child.stdout?.resume()
      this.#child.kill('SIGKILL')
      await this.ended
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Every JSON line of the log so far, wherever it was written. */
  get log(): readonly LogEntry[] {
    return this.#entries
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Sends the signal and waits for the end. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    this.kill(signal)
    return within(this.ended, () => `the collector did not end after ${signal}\n${this.#tail()}`)
  }

  async end(): Promise<Ended> {
    return within(this.ended, () => `the collector did not end\n${this.#tail()}`)
  }

  /** The first log line, also among those already written, whose message matches. */
  async logged(message: RegExp | string, from = 0): Promise<LogEntry> {
    const find = (): LogEntry | undefined =>
      this.#entries.slice(from).find(({ msg }) => (typeof message === 'string' ? msg.includes(message) : message.test(msg)))
    await this.until(() => find() !== undefined, `a log line with ${String(message)}`)
    const entry = find()
    if (entry === undefined) throw new Error('unreachable: it was there')
    return entry
  }

  /** Resolves once the condition holds; it is asked after every output. Rejects when the process ends first. */
  async until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const look = (): void => {
      if (condition()) resolve(undefined)
      else if (this.#isOver) reject(new Error(`the collector ended without ${what}\n${this.#tail()}`))
    }
    this.#changed.add(look)
    look()
    try {
      await within(promise, () => `no sign of ${what}\n${this.#tail()}`)
    } finally {
      this.#changed.delete(look)
    }
  }

  /** Port of the health page, as the log names it. */
  async httpPort(): Promise<number> {
    const { port } = await this.logged('Health at http://')
    return Number(port)
  }

  /** Resident memory at its highest, in bytes. */
  peakMemory(status: string): number {
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? NaN) * 1024
  }

  #read(name: 'stdout' | 'stderr', text: string): void {
    this[name] += text
    const lines = (this.#rest[name] + text).split('\n')
    this.#rest[name] = lines.pop() ?? ''
    for (const line of lines) {
      const entry = parseEntry(line)
      if (entry !== null) this.#entries.push(entry)
    }
    this.#tell()
  }

  #tell(): void {
    for (const look of this.#changed) look()
  }

  #tail(): string {
    return `${this.stdout.slice(-3_000)}\n${this.stderr.slice(-3_000)}`
  }
}

function parseEntry(line: string): LogEntry | null {
  if (!line.startsWith('{"level":')) return null
  try {
    // The log's own form, which delivery.test.ts looks at line by line.
    return JSON.parse(line) as LogEntry
  } catch {
    return null
  }
}

/** Rejects with a text that tells what was the case, instead of the runner's bare time-out. */
async function within<T>(work: Promise<T>, what: () => string, ms = PATIENCE_MS): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`after ${ms / 1_000} s: ${what()}`)), ms)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
