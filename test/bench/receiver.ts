/** A process of its own: a TLS receiver that demands a client certificate and counts the lines it has read. Talks by IPC. */
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:tls'

const NEWLINE = 0x0a
const [certs = ''] = process.argv.slice(2)
let lines = 0
let wanted = Infinity
let firstByteAt = 0

const server = createServer(
  {
    key: readFileSync(`${certs}/server.key`),
    cert: readFileSync(`${certs}/server.crt`),
    ca: readFileSync(`${certs}/chain.crt`),
    requestCert: true,
    rejectUnauthorized: true,
    allowHalfOpen: true,
  },
  (socket) => {
    socket.on('data', (data: Buffer) => {
      if (firstByteAt === 0) {
        firstByteAt = now()
        process.send?.({ type: 'began', at: firstByteAt })
      }
      for (let at = data.indexOf(NEWLINE); at !== -1; at = data.indexOf(NEWLINE, at + 1)) lines += 1
      if (lines >= wanted) {
        process.send?.({ type: 'complete', at: now(), firstByteAt, lines })
        wanted = Infinity
      }
    })
    socket.on('end', () => {
      socket.end()
      process.send?.({ type: 'ended', at: now(), firstByteAt })
    })
    socket.on('error', () => undefined)
  },
)

function now(): number {
  return performance.timeOrigin + performance.now()
}

type Message = { type: 'count'; wanted: number | null } | { type: 'lines' }

process.on('message', (message: Message) => {
  if (message.type === 'lines') {
    process.send?.({ type: 'lines', lines, at: now() })
    return
  }
  lines = 0
  firstByteAt = 0
  wanted = message.wanted ?? Infinity // JSON has none
  process.send?.({ type: 'counting' })
})
process.on('disconnect', () => process.exit(0))
server.listen(Number(process.argv[3] ?? 0), '127.0.0.1', () =>
  process.send?.({ type: 'listening', port: (server.address() as AddressInfo).port }),
)
