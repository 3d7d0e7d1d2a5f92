import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Descriptors and memory are for the events: so many connections at once are more than a page, probes and Prometheus ever need. */
const MOST_CONNECTIONS = 100
/** A client waits for its answer before it asks again; two may meet in the server all the same. */
const MOST_UNANSWERED = 4
/** Whoever neither asks nor takes an answer for so long has gone, or only keeps others out. */
const IDLE_MS = 60_000

/**
 * Bounds what strangers on the port can cost. Beyond the most connections the oldest is closed, and never the newest refused, so that connections
 * that somebody only holds open keep no probe out.
 */
export function limitConnections(server: Server): void {
  const sockets = new Set<Socket>()
  server.headersTimeout = 10_000
  server.requestTimeout = 10_000
  server.timeout = IDLE_MS
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    const [oldest] = sockets
    if (sockets.size > MOST_CONNECTIONS) oldest?.destroy()
  })
}

/** Hands on the requests of a connection that waits for its answers, and ends one that pours in requests without waiting. */
export function withoutFloods(handle: (request: IncomingMessage, response: ServerResponse) => void): typeof handle {
  const unanswered = new WeakMap<Socket, number>()
  return (request, response) => {
    const { socket } = request
    const waiting = (unanswered.get(socket) ?? 0) + 1
    // What came in the same packet is parsed to its end even so.
    if (socket.destroyed || waiting > MOST_UNANSWERED) {
      socket.destroy()
      return
    }
    unanswered.set(socket, waiting)
    response.once('close', () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1))
    handle(request, response)
  }
}

/** One run of `read` at a time: whoever asks meanwhile gets what it gives, however many they are. */
export function together<T>(read: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | null = null
  return () =>
    (running ??= read().finally(() => {
      running = null
    }))
}
