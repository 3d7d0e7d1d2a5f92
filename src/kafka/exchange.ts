import type { Socket } from 'node:net'
import type { Broker } from './internals.ts'

/** A broker as what encodes its own requests needs it: kafkajs's own, of which its types here say no more. */
export type ExchangeBroker = Broker & {
  readonly connectionPool: { getConnection(index: number): Promise<ExchangeConnection> }
  /** By API key. Null before the first connection. */
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>> | null
}

interface ExchangeConnection {
  readonly clientId: string
  readonly socket: Pick<Socket, 'cork' | 'uncork' | 'write'>
  readonly requestQueue: {
    push(request: { readonly entry: Entry; readonly expectResponse: boolean; readonly requestTimeout: number; sendRequest(): void }): void
    maybeThrottle(ms: number): void
  }
  isAuthenticated(): boolean
  authenticate(): Promise<void>
  failIfNotConnected(): void
  nextCorrelationId(): number
}

interface Entry {
  readonly apiKey: number
  readonly apiName: string
  readonly apiVersion: number
  readonly correlationId: number
  resolve(answer: { readonly payload: Buffer }): void
  reject(reason: unknown): void
}

export interface ExchangeRequest {
  readonly apiKey: number
  readonly apiName: string
  readonly apiVersion: number
  readonly body: readonly Buffer[]
  /** How long the answer may take. */
  readonly timeoutMs: number
}

/** The connection for everything but fetches. */
const REQUESTS = 0

/**
 * One request on kafkajs's connection and queue, and the answer to it. kafkajs's own `send` copies a body twice, each time into zeroed memory
 * of the next power of two, which costs more than all the rest of writing events; here its pieces go to the socket as they are.
 */
export async function exchange<Answer extends { readonly clientSideThrottleTime: number }>(
  { connectionPool }: ExchangeBroker,
  { apiKey, apiName, apiVersion, body, timeoutMs }: ExchangeRequest,
  decode: (payload: Buffer) => Answer,
): Promise<Answer> {
  const connection = await connectionPool.getConnection(REQUESTS)
  if (!connection.isAuthenticated()) await connection.authenticate()
  connection.failIfNotConnected()
  const { clientId, requestQueue, socket } = connection
  const correlationId = connection.nextCorrelationId()
  const pieces = [header({ apiKey, apiVersion, correlationId, clientId }, body), ...body]
  const { payload } = await new Promise<{ readonly payload: Buffer }>((resolve, reject) => {
    requestQueue.push({
      entry: { apiKey, apiName, apiVersion, correlationId, resolve, reject },
      expectResponse: true,
      requestTimeout: timeoutMs,
      sendRequest: () => {
        // In one call of the system, as far as it takes them.
        socket.cork()
        for (const piece of pieces) socket.write(piece)
        socket.uncork()
      },
    })
  })
  const answer = decode(payload)
  requestQueue.maybeThrottle(answer.clientSideThrottleTime)
  return answer
}

/** With the length of all that follows. */
function header(
  { apiKey, apiVersion, correlationId, clientId }: { apiKey: number; apiVersion: number; correlationId: number; clientId: string },
  body: readonly Buffer[],
): Buffer {
  const client = Buffer.from(clientId)
  const bytes = Buffer.allocUnsafe(14 + client.length)
  const bodyLength = body.reduce((sum, { length }) => sum + length, 0)
  let at = bytes.writeInt32BE(bytes.length - 4 + bodyLength)
  at = bytes.writeInt16BE(apiKey, at)
  at = bytes.writeInt16BE(apiVersion, at)
  at = bytes.writeInt32BE(correlationId, at)
  at = bytes.writeInt16BE(client.length, at)
  client.copy(bytes, at)
  return bytes
}
