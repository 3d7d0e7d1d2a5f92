/**
 * An output of your own: each shipment goes to the standard input of a command, one JSON object a line, and is delivered when the command
 * ends with 0.
 *
 *   outputs:
 *     archive:
 *       type: ./command-sink.mjs
 *       config: {command: [sh, -c, "cat > /var/spool/tap/$$.part && mv /var/spool/tap/$$.part /var/spool/tap/$$.json"]}
 *
 * What a sink owes is in `Sink` of the package's types, and the suite of the package checks it (test/plug-ins/examples.test.ts).
 */
import { spawn } from 'node:child_process'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** @type {import('devo-proofpoint-tap-collector').CreateSink} */
export function createSink(options, { toLines }) {
  const [program, ...args] = commandOf(options)
  const closing = new AbortController()

  /** Starts the command and gives it the lines. Resolves when it has ended with 0. */
  async function run(lines, signal) {
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'inherit'] })
    const ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, by) => (code === 0 ? resolve() : reject(new Error(`${program} ended with ${code ?? by}`))))
    })
    try {
      const [written, end] = await Promise.allSettled([pipeline(lines, child.stdin, { signal }), ended])
      signal.throwIfAborted()
      // A command that fails also stops reading: how it ended says more.
      if (end.status === 'rejected') throw end.reason
      if (written.status === 'rejected') throw written.reason
    } finally {
      child.kill('SIGKILL')
    }
  }

  return {
    maxShipmentsInFlight: 4,

    ship({ signal }) {
      return async (batches) => {
        const given = AbortSignal.any([signal, closing.signal])
        given.throwIfAborted()
        const rest = batches[Symbol.asyncIterator]()
        const first = await rest.next()
        // Nothing is started for a shipment without events.
        if (first.done) return
        async function* lines() {
          yield toLines(first.value)
          for await (const batch of { [Symbol.asyncIterator]: () => rest }) yield toLines(batch)
        }
        await run(Readable.from(lines(), { highWaterMark: 1 }), given)
      }
    },

    async check(signal) {
      signal.throwIfAborted()
      const found = spawn('sh', ['-c', 'command -v "$0"', program], { stdio: 'ignore', signal })
      await new Promise((resolve, reject) => {
        found.once('error', reject)
        found.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`there is no command ${program}`))))
      })
    },

    async close() {
      closing.abort(new Error('the output was closed'))
    },
  }
}

/** What is thrown here is told at the start as an error of the configuration. */
function commandOf(options) {
  const { command, ...others } = options
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new Error(`${unknown} is not a known key; known is command`)
  if (Array.isArray(command) && command.length > 0 && command.every((word) => typeof word === 'string')) return command
  throw new Error('command must be a list: the program and its arguments')
}
