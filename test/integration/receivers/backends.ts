import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { freePort } from './programs.ts'

/** A plain TCP receiver behind a TLS terminator. */
export interface Backend {
  readonly port: number
  /** Lines that were read whole. */
  readonly lines: () => readonly string[]
  /** Closes everything; nothing listens from then on. */
  readonly stop: () => Promise<void>
}

export const DEAD_BACKENDS = ['does not listen', 'resets at once', 'resets at the first byte', 'closes at the first byte'] as const
export type DeadBackend = (typeof DEAD_BACKENDS)[number]

/** Reads everything and ends its side after the peer's end. */
export async function livingBackend(): Promise<Backend> {
  const lines: string[] = []
  const served = await serve((socket) => {
    let rest = ''
    socket.setEncoding('utf8').on('data', (text: string) => {
      const pieces = (rest + text).split('\n')
      rest = pieces.pop() ?? ''
      for (const line of pieces) lines.push(line)
    })
    socket.on('end', () => socket.end())
  })
  return { ...served, lines: () => lines }
}

/** Takes connections at most, and never keeps a line. */
export async function deadBackend(kind: DeadBackend): Promise<Backend> {
  const lines = () => []
  if (kind === 'does not listen') return { port: await freePort(), lines, stop: async () => undefined }
  const served = await serve((socket) => {
    if (kind === 'resets at once') socket.resetAndDestroy()
    else socket.once('data', () => (kind === 'closes at the first byte' ? socket.destroy() : socket.resetAndDestroy()))
    socket.on('end', () => socket.end())
  })
  return { ...served, lines }
}

async function serve(onConnection: (socket: net.Socket) => void): Promise<Pick<Backend, 'port' | 'stop'>> {
  const open = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => open.delete(socket))
    onConnection(socket)
  })
  const stop = async (): Promise<void> => {
    for (const socket of open) socket.destroy()
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }
  onTestFinished(stop)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, stop } // a listening TCP server's address is never a path
}
