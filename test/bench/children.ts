import { fork, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** A child process that talks by IPC: messages are kept until somebody waits for their type. */
export class Child {
  readonly process: ChildProcess
  #ending = false
  readonly #messages: Record<string, unknown>[] = []
  readonly #waiting: { readonly type: string; readonly resolve: (message: Record<string, unknown>) => void }[] = []

  constructor(script: URL, args: readonly string[], options: { readonly silent?: boolean; readonly execArgv?: readonly string[] } = {}) {
    this.process = fork(script, [...args], {
      stdio: ['ignore', options.silent === true ? 'ignore' : 'inherit', 'inherit', 'ipc'],
      execArgv: [...(options.execArgv ?? [])],
    })
    // Nobody waits for a child to fail: the bench ends with it.
    this.process.once('exit', (code) => {
      if (!this.#ending && code !== 0) throw new Error(`${script.pathname} has ended with ${code ?? 'a signal'}`)
    })
    this.process.on('message', (message) => {
      // every child of the bench sends objects with a type
      const known = message as { type: string }
      const index = this.#waiting.findIndex(({ type }) => type === known.type)
      if (index === -1) this.#messages.push({ ...known })
      else this.#waiting.splice(index, 1)[0]?.resolve({ ...known })
    })
  }

  send(message: Record<string, unknown>): void {
    this.process.send(message)
  }

  async next(type: string): Promise<Record<string, unknown>> {
    const index = this.#messages.findIndex((message) => message.type === type)
    const found = index === -1 ? undefined : this.#messages.splice(index, 1)[0]
    return found ?? new Promise((resolve) => this.#waiting.push({ type, resolve }))
  }

  /** Drops the messages of this type that nobody has waited for. */
  forget(type: string): void {
    const others = this.#messages.filter((message) => message.type !== type)
    this.#messages.splice(0, this.#messages.length, ...others)
  }

  async number(type: string, field: string): Promise<number> {
    return Number((await this.next(type))[field])
  }

  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#ending = true
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const exited = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill(signal)
    await exited
  }
}

/** CPU seconds that a process has used so far (Linux). */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Peak and present resident memory of a process in MB (Linux). */
export function memoryMb(pid: number): { readonly peak: number; readonly now: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  const read = (field: string): number => Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(text)?.[1]) / 1024
  return { peak: read('VmHWM'), now: read('VmRSS') }
}
