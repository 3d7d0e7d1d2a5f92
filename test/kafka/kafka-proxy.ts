import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

export const PRODUCE = 0
const JOIN_GROUP = 11
export const INIT_PRODUCER_ID = 22
export const ADD_PARTITIONS_TO_TXN = 24
export const END_TXN = 26
export const DESCRIBE_CONFIGS = 32

/** What becomes of a request: on its way; never sent, and the connections cut; or sent, and cut in the place of its answer. */
export type Fate = 'pass' | 'lose' | 'lose answer'

export interface KafkaProxy {
  readonly brokers: readonly string[]
  /** Asked for each request, which waits for the answer. `isTransactional`: a produce request of a transaction; `acks`: what such a request asks for. */
  fate: (apiKey: number, isTransactional: boolean, acks: number | null) => Fate | Promise<Fate>
  /** As a broker does with idle connections; resolves when the clients have seen it. */
  closeAll(): Promise<void>
}

/** What the broker is told in place of what the client asks for. */
export interface ProxyOptions {
  /** A transaction that is open for longer is aborted. */
  readonly transactionTimeoutMs?: number
  /** A member that is silent for longer is expelled. */
  readonly sessionTimeoutMs?: number
}

/**
 * Between a client and one broker on 127.0.0.1, so that a request or its answer is lost at a known point. The addresses in the broker's
 * answers become the proxy's. Ends with the test.
 */
export async function startProxy(broker: string, options: ProxyOptions = {}): Promise<KafkaProxy> {
  const brokerPort = Number(broker.split(':')[1])
  const pairs = new Set<readonly [client: Socket, upstream: Socket]>()
  const cut = (): void => {
    for (const pair of pairs) end(pair)
  }
  const server = createServer((client) => {
    const upstream = connect(brokerPort, '127.0.0.1')
    const pair = [client, upstream] as const
    pairs.add(pair)
    for (const socket of pair) socket.on('error', () => undefined).on('close', () => end(pair))
    client.on('close', () => pairs.delete(pair))
    const unanswered = new Set<number>()
    let tail: Promise<void> = Promise.resolve()
    client.on('data', frames((frame) => {
      const apiKey = frame.readInt16BE(4)
      const timeoutMs = { [INIT_PRODUCER_ID]: options.transactionTimeoutMs, [JOIN_GROUP]: options.sessionTimeoutMs }[apiKey]
      if (timeoutMs !== undefined) writeTimeout(frame, timeoutMs)
      const idBytes = apiKey === PRODUCE ? frame.readInt16BE(behindClientId(frame)) : 0
      const acks = apiKey === PRODUCE ? frame.readInt16BE(behindClientId(frame) + 2 + Math.max(idBytes, 0)) : null
      const fate = proxy.fate(apiKey, idBytes > 0, acks)
      tail = tail.then(async () => {
        const decided = await fate
        if (decided === 'lose answer') unanswered.add(frame.readInt32BE(8))
        if (decided === 'lose') cut()
        else upstream.write(frame)
      })
    }))
    upstream.on('data', frames((frame) => {
      if (unanswered.has(frame.readInt32BE(4))) cut()
      else client.write(withPort(frame, brokerPort, port))
    }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // it listens on TCP
  onTestFinished(() => {
    server.close()
    cut()
  })
  const proxy: KafkaProxy = {
    brokers: [`127.0.0.1:${port}`],
    fate: () => 'pass',
    async closeAll() {
      await Promise.all([...pairs].map(async ([client]) => {
        const closed = once(client, 'close')
        client.end()
        await closed
      }))
    },
  }
  return proxy
}

function end(pair: readonly Socket[]): void {
  for (const socket of pair) socket.destroy()
}

/** Calls back for each whole request or answer, its length of four bytes included. */
function frames(take: (frame: Buffer) => void): (bytes: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  return (bytes) => {
    rest = Buffer.concat([rest, bytes])
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const end = 4 + rest.readInt32BE(0)
      take(Buffer.from(rest.subarray(0, end)))
      rest = rest.subarray(end)
    }
  }
}

/** Behind two texts that may be null: the client's id, and the transactional id or the group. So in all versions that kafkajs knows. */
function writeTimeout(frame: Buffer, timeoutMs: number): void {
  const at = behindClientId(frame)
  frame.writeInt32BE(timeoutMs, at + 2 + Math.max(0, frame.readInt16BE(at)))
}

/** Behind length, API, version and correlation id. */
function behindClientId(frame: Buffer): number {
  return 14 + Math.max(0, frame.readInt16BE(12))
}

/** A port always stands behind its host. */
function withPort(frame: Buffer, from: number, to: number): Buffer {
  const host = Buffer.from('127.0.0.1')
  for (let at = frame.indexOf(host); at !== -1; at = frame.indexOf(host, at + 1)) {
    const port = at + host.length
    if (port + 4 <= frame.length && frame.readInt32BE(port) === from) frame.writeInt32BE(to, port)
  }
  return frame
}
