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
import { addAbortSignal, Writable } from 'node:stream'

/** @type {import('devo-proofpoint-tap-collector').CreateSink} */
export function createSink(options, { toLines }) {
  const [program, ...args] = commandOf(options)
  const shipments = new Set()
  let isClosed = false

  return {
    maxShipmentsInFlight: 4,

    ship({ signal }) {
      let child = null
      let ended = null

      function start() {
        child = spawn(program, args, { stdio: ['pipe', 'ignore', 'inherit'] })
        child.once('error', (error) => shipment.destroy(error))
        // A command that fails also stops reading: how it ends says more.
        child.stdin.on('error', () => {})
        child.once('close', (code, by) => {
          if (code === 0 && ended !== null) ended()
          else shipment.destroy(new Error(`${program} ended with ${code ?? by}${code === 0 ? ' before it had everything' : ''}`))
        })
      }

      const shipment = new Writable({
        objectMode: true,
        highWaterMark: 1,
        write(batch, _encoding, done) {
          // Not before the first event: nothing is started for a shipment without any.
          if (child === null) start()
          child.stdin.write(toLines(batch), (error) => {
            if (!error) done()
          })
        },
        final(done) {
          if (child === null) return done()
          ended = done
          child.stdin.end()
        },
        destroy(error, done) {
          shipments.delete(shipment)
          child?.kill('SIGKILL')
          done(error)
        },
      })
      shipments.add(shipment)
      // Whoever ships gets it from the pipeline; without a listener it would end the process where it comes after that.
      shipment.on('error', () => {})
      addAbortSignal(signal, shipment)
      if (isClosed) shipment.destroy(new Error('the output was closed'))
      return shipment
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
      isClosed = true
      for (const shipment of shipments) shipment.destroy(new Error('the output was closed'))
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
