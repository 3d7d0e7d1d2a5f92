import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, test } from 'vitest'
import { behaviours, type DevoBehaviour } from '../../../src/simulator/devo-behaviours.ts'
import { makeAuthority, writePemFiles } from '../../../src/simulator/certificates.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import type { DevoConfig } from '../../../src/sinks/devo/config.ts'
import type { Connect } from '../../../src/sinks/proof/connection.ts'
import { connectTls } from '../../../src/sinks/proof/tls-connection.ts'
import { RecordReader, RecordTap } from '../../../src/sinks/proof/tls-records.ts'
import { batchesOf } from '../../contract/batches.ts'
import { shipAll } from '../../contract/sink-suite.ts'
import { makeWorld, type World } from './world.ts'

/**
 * Everything in facts/devo.md that looked like a success to a client although nothing was read, made again through the sink. The quiet time
 * is shorter than a user's and longer than the peer takes.
 */
const QUIET: Partial<DevoConfig> = { quietMs: 60, probeMs: 60 }

let world: World

afterEach(async () => world.close())

const { ids, batches } = batchesOf('a', 200)
const ready = new AbortController().signal

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('%s', (maxVersion) => {
  /** The endpoint ends with a close_notify in the probe (Devo), or with a bare FIN (nginx), and then does what is given. */
  async function shipTo(behaviour: DevoBehaviour, probe = behaviours.healthy()): Promise<{ readonly error: unknown }> {
    world = await makeWorld({ maxVersion })
    world.receiver.next(probe)
    world.receiver.nextWithData(behaviour)
    world.receiver.behaviour = probe
    const sink = world.sink(QUIET)
    return await shipAll(sink, batches).then(() => ({ error: null }), (error: unknown) => ({ error }))
  }

  const voided: [string, DevoBehaviour][] = [
    ['ends by itself at the first byte, the rest unread, with a close_notify', behaviours.endEarly({ lines: 1 })],
    ['ends by itself at the first byte, the rest unread, with a bare FIN', behaviours.endEarly({ lines: 1 }, { ends: 'fin' })],
    ['has read everything and ends by itself', behaviours.endEarly({ lines: 200, delayMs: 15 })],
    ['has a backend that closes at the first byte, 1 ms later', behaviours.backendCloses(1)],
    ['has a backend that closes at the first byte, 15 ms later', behaviours.backendCloses(15)],
    ['is killed after it has read into its memory', behaviours.killed({ lines: 200 })],
    ['resets at once', behaviours.reset({ lines: 1 })],
    ['has read everything, then resets', behaviours.reset({ lines: 200, delayMs: 15 })],
    ['answers our end with a reset', { ...behaviours.healthy(), reads: 'discard', ends: 'reset' }],
  ]

  test.each(voided)('a peer that %s has taken nothing', async (_name, behaviour) => {
    expect((await shipTo(behaviour)).error).toBeInstanceOf(Error)
  })

  test.each(voided)('nor, where it never sends a close_notify, a peer that %s', async (_name, behaviour) => {
    expect((await shipTo(behaviour, behaviours.bareFin())).error).toBeInstanceOf(Error)
  })

  test('a bare FIN behind our end is no proof, where a close_notify is known to come', async () => {
    const { error } = await shipTo(behaviours.killed())
    expect(error).toMatchObject({ name: 'PeerEndError', message: expect.stringContaining('without the close_notify') as string })
    expect(world.receiver.events).toBe(0)
  })

  test('once learnt, it is demanded: a probe without it fails as well, so that nothing is sent', async () => {
    await shipTo(behaviours.healthy())
    const sink = world.sink(QUIET)
    await shipAll(sink, batches)
    world.receiver.behaviour = behaviours.killed()
    for (let attempt = 0; attempt < 3; attempt++) await expect(shipAll(sink, batches)).rejects.toThrow('without the close_notify')
    // One shipment found it out; after that only probes.
    expect(world.receiver.discardedEvents).toBe(ids.length)
    world.receiver.behaviour = behaviours.healthy()
    await shipAll(sink, batches)
  })

  test('an endpoint that was exchanged for one that never sends it is believed after five probes in a row, and not earlier', async () => {
    await shipTo(behaviours.healthy())
    const sink = world.sink(QUIET)
    await shipAll(sink, batches)
    const before = world.receiver.connections.withData
    world.receiver.behaviour = behaviours.bareFin()
    await expect(shipAll(sink, batches)).rejects.toThrow('without the close_notify')
    for (let probe = 0; probe < 3; probe++) await expect(shipAll(sink, batches)).rejects.toThrow('without the close_notify')
    // The row is broken, by any other failure too.
    world.receiver.next(behaviours.endEarly('at once'))
    await expect(shipAll(sink, batches)).rejects.toThrow('before we ended our side')
    for (let probe = 0; probe < 4; probe++) await expect(shipAll(sink, batches)).rejects.toThrow('without the close_notify')
    expect(world.receiver.connections.withData).toBe(before + 1)
    await shipAll(sink, batches)
    expect(world.receiver.connections.withData).toBe(before + 2)
  })

  test('an endpoint that never sends a close_notify (nginx) is believed without', async () => {
    const { error } = await shipTo(behaviours.bareFin(), behaviours.bareFin())
    expect(error).toBe(null)
    expect(world.receiver.events).toBe(ids.length)
  })

  test('a terminator without its backend, which ends like a healthy one but later, is found by the probe', async () => {
    world = await makeWorld({ maxVersion })
    world.receiver.behaviour = behaviours.deadBackend(100, 'discard')
    const sink = world.sink({ quietMs: 40, probeMs: 300 })
    await expect(sink.check(ready)).rejects.toThrow('before we ended our side')
    await expect(shipAll(sink, batches)).rejects.toThrow('before we ended our side')
    expect(world.receiver.connections.withData).toBe(0)
  })

  test('a terminator whose backend dies after the probe: its late end does not count, for the next probe fails', async () => {
    world = await makeWorld({ maxVersion })
    const sink = world.sink({ quietMs: 40, probeMs: 1500, drainTimeoutMs: 5000 })
    await sink.check(ready)
    world.receiver.behaviour = behaviours.deadBackend(1000, 'discard')
    await expect(shipAll(sink, batches)).rejects.toThrow('did not pass a probe')
    expect(world.receiver.events).toBe(0)
  })

  test('a healthy endpoint that ends late costs a probe and nothing else', async () => {
    world = await makeWorld({ maxVersion })
    const sink = world.sink({ quietMs: 40, probeMs: 100, drainTimeoutMs: 5000 })
    await sink.check(ready)
    world.receiver.nextWithData({ ...behaviours.healthy(), name: 'slow to end', delayMs: 700 })
    const before = world.receiver.connections.secured
    await shipAll(sink, batches)
    expect(world.receiver.connections.secured).toBe(before + 2)
    expect(world.receiver.connections.withData).toBe(1)
  })

  test('a client certificate that is refused: with the handshake, or behind it', async () => {
    world = await makeWorld({ maxVersion })
    const other = await makeAuthority({ commonName: 'Another CA' })
    const stranger = await other.issue({ commonName: 'stranger', client: true })
    await writePemFiles(world.folder, { 'me.crt': stranger.certPem, 'me.key': stranger.keyPem })
    const sink = world.sink(QUIET)
    await expect(sink.check(ready)).rejects.toThrow('client certificate')
    await expect(shipAll(sink, batches)).rejects.toThrow('client certificate')
    expect(world.receiver.connections.withData).toBe(0)
  })

  test('a terminator that refuses behind the handshake, without a word', async () => {
    world = await makeWorld({ maxVersion })
    world.receiver.behaviour = behaviours.refuseClient()
    await expect(shipAll(world.sink(QUIET), batches)).rejects.toThrow('client certificate')
    expect(world.receiver.connections.withData).toBe(0)
  })

  test('a close_notify with a reset behind it: the peer left bytes of ours unread', async () => {
    world = await makeWorld({ maxVersion })
    /** What a program does that calls SSL_shutdown and then close; Node itself sends a FIN in between. */
    class ClosingTap extends RecordTap {
      override _final(callback: () => void): void {
        tcp?.destroy()
        callback()
      }
    }
    let tcp: net.Socket | undefined
    const { chainPem, keyPem } = await world.authority.issue({ commonName: 'peer' })
    const secureContext = tls.createSecureContext({ cert: chainPem, key: keyPem, maxVersion })
    const server = net.createServer({ allowHalfOpen: true }, (accepted) => {
      tcp = accepted
      const socket = new tls.TLSSocket(new ClosingTap(accepted, new RecordReader(), () => undefined), { isServer: true, secureContext })
      socket.on('error', () => undefined)
      accepted.on('error', () => undefined)
      // It reads no more than TLS does by itself, so that it cannot see our end; it ends after it.
      void ourEnd.promise.then(() => socket.end())
    })
    let ourEnd = Promise.withResolvers<null>()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const connect: Connect = async (watcher, signal) => {
      const connection = await connectTls(world.config({ port: portOf(server) }), systemClock)(watcher, signal)
      const end = connection.end.bind(connection)
      connection.end = (ended) => end(() => {
        ended()
        ourEnd.resolve(null)
      })
      return connection
    }
    const sink = world.sink({ ...QUIET, drainTimeoutMs: 2_000 }, { connect })
    await sink.check(ready)
    ourEnd = Promise.withResolvers<null>()
    await expect(shipAll(sink, batchesOf('b', 500, 10, 2_000).batches)).rejects.toThrow('reset the connection')
    server.close()
  })

  test('a peer that sends something is not Devo', async () => {
    world = await makeWorld({ maxVersion })
    const peer = await startPeer(maxVersion, (socket) => {
      socket.on('end', () => socket.end())
      socket.resume()
      socket.write('220 ready\r\n')
    })
    const sink = world.sink({ ...QUIET, port: peer.port })
    await expect(sink.check(ready)).rejects.toThrow('sent 11 bytes')
    await expect(shipAll(sink, batches)).rejects.toThrow('sent 11 bytes')
    await peer.close()
  })

  test('an end that lay unread while our event loop was busy is still earlier than ours', async () => {
    world = await makeWorld({ maxVersion })
    const worker = new Worker(new URL('./early-peer.ts', import.meta.url), {
      workerData: { maxVersion, ...(await serverPem()), ca: world.authority.certPem, endAfterMs: 30 },
    })
    const [port] = await once(worker, 'message') as [number]
    const sink = world.sink({ ...QUIET, port })
    const checked = sink.check(ready).then(() => 'accepted', () => 'refused')
    await once(worker, 'message')
    // The peer ends in its own thread meanwhile, and our quiet time passes.
    const until = performance.now() + 250
    while (performance.now() < until);
    expect(await checked).toBe('refused')
    await worker.terminate()
  })

  /** A peer of the test's own making, with the receiver's kind of certificate. */
  async function startPeer(version: tls.SecureVersion, serve: (socket: tls.TLSSocket) => void): Promise<{ port: number; close: () => Promise<void> }> {
    const { chainPem, keyPem } = await serverPem()
    const sockets: net.Socket[] = []
    const server = tls.createServer({ cert: chainPem, key: keyPem, ca: world.authority.certPem, requestCert: true, maxVersion: version, allowHalfOpen: true })
    server.on('connection', (socket: net.Socket) => sockets.push(socket))
    server.on('secureConnection', (socket) => {
      socket.on('error', () => undefined)
      serve(socket)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return {
      port: portOf(server),
      close: async () => {
        for (const socket of sockets) socket.destroy()
        server.close()
        await once(server, 'close')
      },
    }
  }

  async function serverPem(): Promise<{ readonly chainPem: string; readonly keyPem: string }> {
    return await world.authority.issue({ commonName: 'peer' })
  }
})


function portOf(server: net.Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
