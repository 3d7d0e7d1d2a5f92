import { FatalError, RetryableError } from '../pipeline/errors.ts'
import { type Broker, type Channel, REQUESTS } from './internals.ts'

export interface ExchangeRequest {
  readonly apiKey: number
  readonly apiName: string
  readonly apiVersion: number
  readonly body: readonly Buffer[]
  /** How long the answer may take. */
  readonly timeoutMs: number
  /** Default: the connection for everything. */
  readonly channel?: Channel
}

/** What came in a broker's place, or was damaged on its way. */
export class UnreadableAnswerError extends RetryableError {
  override readonly name = 'UnreadableAnswerError'
  constructor(apiName: string) {
    super(`the answer to ${apiName} cannot be read: it is cut off, damaged, or not a broker's`, { code: 'KafkaAnswerUnreadable' })
  }
}

/**
 * One request on kafkajs's connection and queue, and the answer to it. kafkajs's own `send` copies a body twice, each time into zeroed memory
 * of the next power of two, which costs more than all the rest of writing events; here its pieces go to the socket as they are.
 */
export async function exchange<Answer extends { readonly clientSideThrottleTime: number }>(
  { connectionPool, versions }: Broker,
  { apiKey, apiName, apiVersion, body, timeoutMs, channel = REQUESTS }: ExchangeRequest,
  decode: (payload: Buffer) => Answer,
): Promise<Answer> {
  const { minVersion, maxVersion } = versions?.[apiKey] ?? { minVersion: apiVersion, maxVersion: apiVersion }
  if (apiVersion < minVersion || apiVersion > maxVersion)
    throw new FatalError(`the broker speaks versions ${minVersion} to ${maxVersion} of ${apiName}, not ${apiVersion}: Kafka 2.3 or later is needed`, { code: 'KafkaTooOld' })
  const connection = await connectionPool.getConnection(channel)
  if (!connection.isAuthenticated()) await connection.authenticate()
  connection.failIfNotConnected()
  const { clientId, requestQueue } = connection
  const correlationId = connection.nextCorrelationId()
  const pieces = [header({ apiKey, apiVersion, correlationId, clientId }, body), ...body]
  const { payload } = await new Promise<{ readonly payload: Buffer }>((resolve, reject) => {
    requestQueue.push({
      entry: { apiKey, apiName, apiVersion, correlationId, resolve, reject },
      expectResponse: true,
      requestTimeout: timeoutMs,
      sendRequest: () => {
        const { socket } = connection
        // In one call of the system, as far as it takes them.
        socket?.cork()
        for (const piece of pieces) socket?.write(piece)
        socket?.uncork()
      },
    })
  })
  const answer = decoded(decode, payload, apiName)
  requestQueue.maybeThrottle(answer.clientSideThrottleTime)
  return answer
}

/** A decoder that reads beyond the end of the answer throws Node's RangeError; it says nothing that a person could use. */
function decoded<Answer>(decode: (payload: Buffer) => Answer, payload: Buffer, apiName: string): Answer {
  try {
    return decode(payload)
  } catch (error) {
    throw error instanceof RangeError ? new UnreadableAnswerError(apiName) : error
  }
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
