import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import pino from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { behaviours, type DevoBehaviour } from '../../../src/simulator/devo-behaviours.ts'
import { DevoReceiver } from '../../../src/simulator/devo-receiver.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import type { PeerConfig } from '../../../src/sinks/proof/config.ts'
import { createRelaySink } from '../../../src/sinks/relay/sink.ts'
import { batchOf, batchesOf } from '../../contract/batches.ts'
import { shipAll, sinkContract, type DestinationFault, type SinkHarness } from '../../contract/sink-suite.ts'
import { jsonOf, TAG } from '../devo/world.ts'

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startRelay(): Promise<DevoReceiver> {
  return new DevoReceiver({ certificate: null, keepLines: true, strict: true }).start()
}

/** With times shorter than a user's, but longer than any answer on loopback takes. */
function sinkTo(relay: { readonly port: number }, over: Partial<PeerConfig> = {}): Sink {
  return createRelaySink(
    { address: '127.0.0.1', port: relay.port, confirm: 'drain', quietMs: 40, probeMs: 40, drainTimeoutMs: 300, settleMs: 60, ...over },
    { name: 'relay_1', clock: systemClock, log: pino({ level: 'silent' }), hostName: 'collector-1', tagOf: () => TAG },
  )
}

async function world(over: Partial<PeerConfig> = {}): Promise<{ readonly relay: DevoReceiver; readonly sink: Sink }> {
  const relay = await startRelay()
  cleanups.push(async () => relay.stop())
  const sink = sinkTo(relay, over)
  cleanups.push(async () => sink.close())
  return { relay, sink }
}

function fault(relay: DevoReceiver, name: string, behaviour: DevoBehaviour, effect: DestinationFault['effect'] = 'fails'): DestinationFault {
  return {
    name, effect,
    begin: () => void (relay.behaviour = behaviour),
    heal: () => {
      relay.behaviour = behaviours.healthy()
      relay.disconnectAll('reset')
    },
  }
}

// A relay that reads all, is killed and whose kernel then ends the connection after our own end is what plain TCP cannot tell.
sinkContract('relay', async (): Promise<SinkHarness> => {
  const relay = await startRelay()
  return {
    createSink: () => sinkTo(relay),
    received: () => relay.tally.lines.map(jsonOf),
    connectionsWithData: () => relay.connections.withData,
    openConnections: () => relay.openConnections,
    faults: [
      fault(relay, 'resets', behaviours.reset({ lines: 5 })),
      fault(relay, 'stalls', behaviours.stall(5), 'hangs'),
      fault(relay, 'ends early', behaviours.endEarly({ lines: 5 }, { ends: 'fin' })),
      { name: 'is away', effect: 'fails', begin: () => relay.refuseConnections(), heal: async () => relay.acceptConnections() },
    ],
    close: async () => relay.stop(),
  }
}, ['resets', 'stalls', 'ends early', 'is away'])

describe('relay', () => {
  test('gets the line that Devo would get, also one of 8 MiB between short ones', async () => {
    const { relay, sink } = await world({ drainTimeoutMs: 5_000 })
    const large = JSON.stringify({ text: 'x'.repeat(8 * 1024 * 1024 - 100) })
    await shipAll(sink, [batchOf(['{"n": 12345678901234567890,"s":"Grüße"}', large], { environment: 'prod' }), batchOf(['{}'])])
    const tail = '"@devo_pulling_id":"1700000000123"'
    const head = `<14>2023-11-14 22:13:20.123 collector-1 ${TAG}: `
    expect(relay.tally.lines).toEqual([
      `${head}{"n": 12345678901234567890,"s":"Grüße",${tail},"@devo_environment":"prod"}`,
      `${head}${large.slice(0, -1)},${tail},"@devo_environment":"prod"}`,
      `${head}{${tail}}`,
    ])
    expect(relay.tally.violations).toEqual([])
  })

  test('one that says something is none', async () => {
    const server = net.createServer((socket) => socket.on('error', () => undefined).end('220 mail.example.com\r\n')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    cleanups.push(async () => new Promise((resolve) => server.close(() => resolve())))
    const { port } = server.address() as AddressInfo // a listening TCP server's address is never a path
    const sink = sinkTo({ port })
    cleanups.push(async () => sink.close())
    await expect(sink.check(new AbortController().signal)).rejects.toThrow(`127.0.0.1:${port} sent 22 bytes, which a Devo relay never does: something else answers there`)
  })

  test('one that ends first or resets has not got the events', async () => {
    const { relay, sink } = await world()
    await sink.check(new AbortController().signal)
    relay.next(behaviours.endEarly({ lines: 200 }, { ends: 'fin' }))
    await expect(shipAll(sink, batchesOf('a', 200).batches)).rejects.toThrow(/ended the connection before we ended our side: it has refused this client, or it has lost/)
    relay.nextWithData(behaviours.reset({ lines: 200 }))
    await expect(shipAll(sink, batchesOf('b', 200).batches)).rejects.toThrow(`127.0.0.1:${relay.port} reset the connection`)
    await shipAll(sink, batchesOf('c', 10).batches)
  })

  test('one that never ends its side is believed only with confirm: settle', async () => {
    const { relay, sink } = await world({ drainTimeoutMs: 150 })
    await sink.check(new AbortController().signal)
    relay.behaviour = behaviours.neverEnd()
    await expect(shipAll(sink, batchesOf('a', 10).batches)).rejects.toThrow(/set confirm: settle/)
    const settling = sinkTo(relay, { confirm: 'settle' })
    cleanups.push(async () => settling.close())
    await shipAll(settling, batchesOf('b', 10).batches)
    expect(relay.events).toBe(20)
  })

  test('no connection is said in words', async () => {
    const { relay, sink } = await world()
    relay.refuseConnections()
    await expect(sink.check(new AbortController().signal).then(async () => shipAll(sink, batchesOf('a', 1).batches)))
      .rejects.toThrow(`127.0.0.1:${relay.port} refuses connections: nothing listens there`)
  })
})
