/**
 * The baseline of a delivery: kafkajs as one would use it first. Each value and a newline to a TLS socket, with drain; nothing is decoded,
 * nothing proven, nothing committed. A process of its own; talks by IPC.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:tls'
import kafkajs from 'kafkajs'

const [brokers = '', topic = '', events = '', receiverPort, certs = ''] = process.argv.slice(2)
const NEWLINE = Buffer.from('\n')
const socket = connect({
  host: '127.0.0.1',
  port: Number(receiverPort),
  servername: 'localhost',
  ca: readFileSync(`${certs}/chain.crt`),
  cert: readFileSync(`${certs}/me.crt`),
  key: readFileSync(`${certs}/me.key`),
})
await once(socket, 'secureConnect')

let left = Number(events)
const kafka = new kafkajs.Kafka({ brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING })
const consumer = kafka.consumer({ groupId: `bench-bare-${randomUUID()}` })
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
await consumer.run({
  autoCommit: false,
  eachBatch: async ({ batch }) => {
    for (const { value } of batch.messages) {
      if (value === null) continue
      if (!socket.write(Buffer.concat([value, NEWLINE]))) await once(socket, 'drain')
      left -= 1
    }
    if (left <= 0) socket.end()
  },
})
