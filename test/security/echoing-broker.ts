import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

const SASL_HANDSHAKE = 17
const API_VERSIONS = 18
const SASL_AUTHENTICATE = 36
const REFUSED = 58

/** A Kafka broker that takes SASL PLAIN and refuses every login with the login itself as its message. */
export interface EchoingBroker {
  /** host:port. */
  readonly address: string
  /** Logins that it has refused. */
  readonly logins: readonly string[]
}

/** It ends with the running test. */
export async function startEchoingBroker(): Promise<EchoingBroker> {
  const logins: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    let read = Buffer.alloc(0)
    socket.on('data', (bytes: Buffer) => {
      read = Buffer.concat([read, bytes])
      while (read.length >= 4 && read.length >= 4 + read.readInt32BE(0)) {
        const end = 4 + read.readInt32BE(0)
        const answer = answerTo(read.subarray(4, end), logins)
        read = read.subarray(end)
        socket.write(Buffer.concat([int32(answer.length), answer]))
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, logins } // listening on TCP
}

/** A request is key, version, correlation id and client id, then its body. */
function answerTo(request: Buffer, logins: string[]): Buffer {
  const key = request.readInt16BE(0)
  const body = request.subarray(10 + Math.max(0, request.readInt16BE(8)))
  const correlation = request.subarray(4, 8)
  if (key === API_VERSIONS) return Buffer.concat([correlation, int16(0), int32(5), ...[[0, 9], [1, 12], [3, 9], [SASL_HANDSHAKE, 1], [SASL_AUTHENTICATE, 1]].flatMap(([api = 0, newest = 0]) => [int16(api), int16(0), int16(newest)]), int32(0)])
  if (key === SASL_HANDSHAKE) return Buffer.concat([correlation, int16(0), int32(1), text('PLAIN')])
  if (key === SASL_AUTHENTICATE) {
    const login = body.subarray(4).toString().slice(1).replace('\0', ':')
    logins.push(login)
    return Buffer.concat([correlation, int16(REFUSED), text(`no such login: ${login}`), int32(0), Buffer.alloc(8)])
  }
  throw new Error(`it was asked for ${key} before a login`)
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function text(value: string): Buffer {
  return Buffer.concat([int16(Buffer.byteLength(value)), Buffer.from(value)])
}
