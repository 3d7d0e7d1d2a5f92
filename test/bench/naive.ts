/**
 * The baseline: the loop that one would write first. The whole response is parsed, every event stringified and written with drain.
 * Nothing is durable, nothing is proven, the numbers do not survive (`0.0` becomes `0`).
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:tls'

const [apiPort, receiverPort, certs = ''] = process.argv.slice(2)
const socket = connect({
  host: '127.0.0.1',
  port: Number(receiverPort),
  servername: 'localhost',
  ca: readFileSync(`${certs}/chain.crt`),
  cert: readFileSync(`${certs}/me.crt`),
  key: readFileSync(`${certs}/me.key`),
})
await once(socket, 'secureConnect')
process.send?.({ type: 'ready' })
await once(process, 'message')

const response = await fetch(`http://127.0.0.1:${apiPort}/v2/siem/messages/delivered?format=json`)
// the shape is this bench's own
const { messagesDelivered } = JSON.parse(await response.text()) as { messagesDelivered: Record<string, unknown>[] }
const pulledAt = Date.now()
const date = new Date(pulledAt).toISOString().replace('T', ' ').slice(0, 23)
for (const event of messagesDelivered) {
  event['@devo_pulling_id'] = String(pulledAt)
  const line = `<14>${date} host mail.proofpoint.tapsiem_v2.messagesdelivered: ${JSON.stringify(event)}\n`
  if (!socket.write(line)) await once(socket, 'drain')
}
socket.end()
await once(socket, 'close')
process.send?.({ type: 'done' })
process.disconnect()
