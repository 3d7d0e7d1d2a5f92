import { Worker } from 'node:worker_threads'

export interface Watchdog {
  /** Of the next case. */
  began(name: string, input: unknown): void
  end(): Promise<void>
}

const LOOK_MS = 10_000
/** Looks at the same case before it is given up. */
const MOST_LOOKS = 12

/** A loop that never ends stops every timer of its own thread: another one tells which case it was, and ends the process. */
export function watchCases(): Watchdog {
  const shared = new SharedArrayBuffer(4 + TEXT_BYTES)
  const counter = new Int32Array(shared, 0, 1)
  const text = new Uint8Array(shared, 4)
  const worker = new Worker(WATCH, { eval: true, workerData: { shared, lookMs: LOOK_MS, mostLooks: MOST_LOOKS } })
  worker.unref()
  return {
    began(name, input) {
      const shown = new TextEncoder().encode(`${name}\n${JSON.stringify(input)}`).subarray(0, TEXT_BYTES)
      text.fill(0x20)
      text.set(shown)
      Atomics.add(counter, 0, 1)
    },
    async end() {
      await worker.terminate()
    },
  }
}

const TEXT_BYTES = 64 * 1024

const WATCH = `
const { workerData: { shared, lookMs, mostLooks } } = require('node:worker_threads')
const { writeSync } = require('node:fs')
const counter = new Int32Array(shared, 0, 1)
let last = -1
let looks = 0
setInterval(() => {
  const now = Atomics.load(counter, 0)
  looks = now === last ? looks + 1 : 0
  last = now
  if (looks < mostLooks) return
  writeSync(2, 'no end after ' + (looks * lookMs) / 1000 + ' s: ' + Buffer.from(new Uint8Array(shared, 4).slice()).toString().trimEnd() + '\\n')
  process.kill(process.pid, 'SIGKILL')
}, lookMs)
`
