import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import type { Authority, Issued } from '../../../src/simulator/certificates.ts'

export interface Talk extends tls.ConnectionOptions {
  readonly port: number
  readonly authority: Authority
  readonly client: Issued
  /** Written as one piece each, line ends added. */
  readonly lines?: readonly string[]
  /** Written behind the lines, without a line end. */
  readonly unfinished?: string
  /** From the last write to the end of our side; null: never end it. Default 0. */
  readonly quietMs?: number | null
  /** Gives up 300 ms after this has resolved, or in any case after 10 s, with `timeout` among the events. */
  readonly giveUp?: Promise<void>
}

/** What Node shows of a whole connection, in order: `secureConnect`, `finish`, `end`, `error CODE`, `close hadError`. */
export async function talk({ port, authority, client, lines = [], unfinished = '', quietMs = 0, giveUp, ...options }: Talk): Promise<string[]> {
  const seen: string[] = []
  const socket = tls.connect({ host: '127.0.0.1', port, ca: authority.certPem, key: client.keyPem, cert: client.chainPem, ...options })
  socket.on('secureConnect', () => {
    seen.push('secureConnect')
    for (const line of lines) socket.write(`${line}\n`)
    if (unfinished !== '') socket.write(unfinished)
    if (quietMs === 0) socket.end()
    else if (quietMs !== null) timers.push(setTimeout(() => socket.end(), quietMs))
  })
  socket.on('finish', () => seen.push('finish'))
  socket.on('end', () => seen.push('end'))
  socket.on('error', (error: Error & { code?: string }) => seen.push(`error ${error.code ?? error.message}`))
  socket.resume()
  const timeOut = () => {
    seen.push('timeout')
    socket.destroy()
  }
  const timers = [setTimeout(timeOut, 10_000)]
  giveUp?.then(() => timers.push(setTimeout(timeOut, 300)), () => undefined)
  const [hadError] = (await new Promise<[boolean]>((resolve) => socket.once('close', (error) => resolve([error]))))
  seen.push(`close ${String(hadError)}`)
  timers.forEach(clearTimeout)
  return seen
}

export interface Wiretap {
  readonly port: number
  /** Type and length of the last TLS record that the server sent. */
  readonly lastRecord: () => { type: number; length: number }
  readonly close: () => Promise<void>
}

/** True for the record of a close_notify: an alert under TLS 1.2, an encrypted two-byte one under TLS 1.3. */
export function isCloseNotify({ type, length }: { type: number; length: number }): boolean {
  return type === 21 || (type === 23 && length === 19)
}

/** A TCP relay that notes the TLS records from the server's side, for what Node does not show. */
export async function wiretap(serverPort: number): Promise<Wiretap> {
  let received: Buffer[] = []
  const open = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (near) => {
    received = []
    const far = net.connect({ host: '127.0.0.1', port: serverPort, allowHalfOpen: true })
    far.on('data', (chunk) => received.push(chunk))
    for (const [from, to] of [[near, far], [far, near]] as const) {
      open.add(from)
      from.pipe(to)
      from.on('error', () => to.resetAndDestroy())
      from.on('close', () => open.delete(from))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port, // a listening TCP server's address is never a path
    lastRecord() {
      const bytes = Buffer.concat(received)
      let last = { type: 0, length: 0 }
      for (let offset = 0; offset + 5 <= bytes.length; offset += 5 + last.length) {
        last = { type: bytes.readUInt8(offset), length: bytes.readUInt16BE(offset + 3) }
      }
      return last
    },
    async close() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Waits for a condition that no event announces (another program's files); throws after the deadline. */
export async function eventually(condition: () => boolean | Promise<boolean>, what: string, deadlineMs = 15_000): Promise<void> {
  const until = performance.now() + deadlineMs
  while (!(await condition())) {
    if (performance.now() > until) throw new Error(`waited ${deadlineMs} ms in vain: ${what}`)
    await sleep(20)
  }
}
