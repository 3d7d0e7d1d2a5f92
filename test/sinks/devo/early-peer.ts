/** Runs in a thread of its own: accepts one connection and ends it by itself a little later, whatever the other thread is doing. */
import tls from 'node:tls'
import { parentPort, workerData } from 'node:worker_threads'

interface PeerData {
  readonly maxVersion: tls.SecureVersion
  readonly chainPem: string
  readonly keyPem: string
  readonly ca: string
  readonly endAfterMs: number
}

// What the test gives it.
const { maxVersion, chainPem, keyPem, ca, endAfterMs } = workerData as PeerData
const server = tls.createServer({ cert: chainPem, key: keyPem, ca, requestCert: true, maxVersion }, (socket) => {
  socket.on('error', () => undefined)
  socket.resume()
  setTimeout(() => socket.end(), endAfterMs)
  parentPort?.postMessage('accepted')
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') parentPort?.postMessage(address.port)
})
