import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

export interface Child {
  readonly pid: number
  /** What it says, a line each. */
  readonly lines: AsyncIterator<string>
  /** kill -9, and waits until it is gone. */
  kill(): Promise<void>
}

/** Starts child-main.ts as a process of its own; resolves once it holds the buffer, throws with what it said instead. */
export async function startChild(role: string, dir: string): Promise<Child> {
  const path = fileURLToPath(new URL('./child-main.ts', import.meta.url))
  const child = spawn(process.execPath, [path, role, dir], { stdio: ['ignore', 'pipe', 'pipe'] })
  const exited = once(child, 'exit')
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  onTestFinished(kill)
  let errors = ''
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const first = await lines.next()
  if (first.value !== 'ready' || child.pid === undefined) {
    await exited
    throw new Error(`the child did not start: ${errors}`)
  }
  return { pid: child.pid, lines, kill }
}
