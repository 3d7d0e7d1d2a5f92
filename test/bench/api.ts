/** A process of its own: an API that serves empty windows until it is armed, then one window of the wanted size. Talks by IPC. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { messageJson } from './message.ts'

const PIECE_BYTES = 64 * 1024

/** Pieces of the response, made before it is asked for, so that making it costs nothing while it is measured. */
function makeBody(bytes: number): { pieces: Buffer[]; events: number } {
  const pieces: Buffer[] = []
  let text = '{"queryEndTime":"2026-11-20T10:00:00Z","messagesDelivered":['
  let events = 0
  for (let total = 0; total < bytes; events += 1) {
    const event = messageJson(events)
    text += events === 0 ? event : `,${event}`
    total += event.length + 1
    if (text.length >= PIECE_BYTES) {
      pieces.push(Buffer.from(text))
      text = ''
    }
  }
  pieces.push(Buffer.from(`${text}]}`))
  return { pieces, events }
}

let armed: ReturnType<typeof makeBody> | null = null
const empty = (end: string) => `{"queryEndTime":"${end}","messagesDelivered":[]}`

const server = createServer((_request, response) => {
  const now = performance.timeOrigin + performance.now()
  const body = armed
  armed = null
  response.writeHead(200, { 'content-type': 'application/json' })
  if (body === null) response.end(empty(new Date().toISOString()))
  else {
    process.send?.({ type: 'requested', at: now })
    void send(response, body.pieces)
  }
  process.send?.({ type: 'request', at: now })
})

async function send(response: ServerResponse, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) if (!response.write(piece)) await new Promise((resolve) => response.once('drain', resolve))
  response.end()
}

let prepared: ReturnType<typeof makeBody> | null = null
process.on('message', (message: { type: 'prepare'; bytes: number } | { type: 'arm' }) => {
  if (message.type === 'arm') {
    armed = prepared
    return
  }
  prepared = makeBody(message.bytes)
  process.send?.({ type: 'prepared', events: prepared.events })
})
process.on('disconnect', () => process.exit(0))
server.listen(0, '127.0.0.1', () => process.send?.({ type: 'listening', port: (server.address() as AddressInfo).port }))
