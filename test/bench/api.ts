/** A process of its own: an API that serves empty windows until it is armed, then one window of the wanted size. Talks by IPC. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const PIECE_BYTES = 64 * 1024

function messageJson(index: number): string {
  const id = index.toString(16).padStart(12, '0')
  const part = (n: number) =>
    `{"disposition":"attached","sha256":"${id.repeat(5)}${n}","md5":"${id}${id}00112233","filename":"invoice-${index}-${n}.pdf","contentType":"application/pdf","oContentType":"application/pdf","sandboxStatus":"THREAT"}`
  const threat = (n: number) =>
    `{"threatID":"${id.repeat(5)}${n}","threatStatus":"active","classification":"PHISH","threatUrl":"https://threatinsight.proofpoint.com/${id}/threat/${n}","threatTime":"2026-11-20T10:00:00.000Z","threat":"http://bad.example.test/${id}/${n}?q=login&next=%2Faccount","campaignID":null,"threatType":"URL"}`
  return `{"spamScore":4,"phishScore":46,"threatsInfoMap":[${threat(1)},${threat(2)}],"messageTime":"2026-11-20T09:59:58.000Z","impostorScore":0.0,"malwareScore":0,"cluster":"example_hosted","subject":"Overdue invoice \\u2013 number ${index}","quarantineFolder":"Malware","quarantineRule":"module.sandbox.threat","policyRoutes":["default_inbound","executives"],"modulesRun":["av","spf","dkim","dmarc","spam","urldefense","sandbox"],"messageSize":${20_000 + (index % 5_000)},"messageParts":[${part(1)},${part(2)}],"completelyRewritten":true,"id":"8a1b2c3d-0000-4000-8000-${id}","QID":"x${id}","GUID":"${id.repeat(3)}","sender":"billing@sender-${index % 977}.example.test","recipient":["user${index % 4_001}@example.test"],"senderIP":"192.0.2.${index % 255}","messageID":"<${id}.${index}@mail.example.test>","headerFrom":"\\"Accounts\\" <billing@sender-${index % 977}.example.test>","headerReplyTo":null,"fromAddress":["billing@sender-${index % 977}.example.test"],"ccAddresses":[],"replyToAddress":[],"toAddresses":["user${index % 4_001}@example.test"],"xmailer":null}`
}

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
