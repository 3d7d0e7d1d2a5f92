import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** Below the range that systems take the ports of outgoing connections from: a port is still free when its broker is started again. */
const PORTS = { from: 20_000, to: 32_000 } as const

export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(PORTS.from, PORTS.to)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

/** True once the broker behind this PLAINTEXT listener answers and counts itself in: it then takes part in the cluster. */
export async function isServing(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1', timeout: 5000 })
  // The error itself is of no interest, only that it ends the reading below.
  socket.on('error', () => undefined).on('timeout', () => socket.destroy())
  let answer = Buffer.alloc(0)
  socket.write(METADATA_REQUEST)
  try {
    for await (const bytes of socket) {
      answer = Buffer.concat([answer, bytes as Buffer]) // a socket without an encoding gives Buffers
      if (answer.length >= COUNT_OF_BROKERS + 4) return answer.readInt32BE(COUNT_OF_BROKERS) > 0
    }
    return false
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Metadata, version 4, of no topics. */
const METADATA_REQUEST = Buffer.concat([
  int(4, 2 + 2 + 4 + 2 + 4 + 1), // length of what follows
  int(2, 3), // Metadata
  int(2, 4), // version
  int(4, 1), // correlation id
  int(2, -1), // no client id
  int(4, 0), // no topics
  int(1, 0), // none are to be made
])
/** Behind length, correlation id and throttle time, 4 bytes each. */
const COUNT_OF_BROKERS = 12

function int(bytes: 1 | 2 | 4, value: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  buffer.writeIntBE(value, 0, bytes)
  return buffer
}
