import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pino from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Batch } from '../../../src/pipeline/event.ts'
import { behaviours } from '../../../src/simulator/devo-behaviours.ts'
import type { Connect } from '../../../src/sinks/proof/connection.ts'
import { connectTls } from '../../../src/sinks/proof/tls-connection.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { batchOf, batchesOf, eventually } from '../../contract/batches.ts'
import { shipAll } from '../../contract/sink-suite.ts'
import { makeWorld, TAG, type World } from './world.ts'

let world: World
const { ids, batches } = batchesOf('a', 200)
const never = new AbortController().signal

beforeEach(async () => {
  world = await makeWorld()
})

afterEach(async () => {
  const { violations } = world.receiver.tally
  await world.close()
  expect(violations).toEqual([])
})

describe('what arrives', () => {
  test('is the line of the contract, with the tag of its service', async () => {
    const sink = world.sink({}, { hostName: 'collector-1', tagOf: (inputId, service) => `my.app.${inputId}.${service}` })
    const pulls = [{ inputId: 'one', service: 'x' }, { inputId: 'two', service: 'y', environment: 'prod' }]
    await shipAll(sink, pulls.map((pull) => batchOf(['{"n": 12345678901234567890}'], { ...pull, pulledAt: 1_700_000_000_123 })))
    expect(world.receiver.tally.lines).toEqual([
      '<14>2023-11-14 22:13:20.123 collector-1 my.app.one.x: {"n": 12345678901234567890,"@devo_pulling_id":"1700000000123"}',
      '<14>2023-11-14 22:13:20.123 collector-1 my.app.two.y: {"n": 12345678901234567890,"@devo_pulling_id":"1700000000123","@devo_environment":"prod"}',
    ])
  })

  test('may be 8 MiB long, between short ones', async () => {
    const large = JSON.stringify({ text: 'x'.repeat(8 * 1024 * 1024 - 100) })
    await shipAll(world.sink({ drainTimeoutMs: 5_000 }), [batchOf(['{"a":1}', large]), batchOf(['{"a":2}'])])
    expect(world.receiver.tally.lines).toHaveLength(3)
    expect(world.receiver.tally.lines[1]?.length).toBe(`<14>2023-11-14 22:13:20.123 collector-1 ${TAG}: ,"@devo_pulling_id":"1700000000123"`.length + large.length)
  })
})

test('no connection is made for a shipment without events, nor for a batch without any', async () => {
  const sink = world.sink()
  await sink.check(never)
  await shipAll(sink, [])
  await shipAll(sink, [batchOf([]), batchOf([])])
  expect(world.receiver.connections.accepted).toBe(1)
})

describe('the probe', () => {
  test('begins at once; the first shipment waits for it, and all share it', async () => {
    const sink = world.sink({ probeMs: 150 })
    await world.receiver.until(() => world.receiver.connections.accepted === 1)
    const shipments = Promise.all(Array.from({ length: 4 }, (_, index) => shipAll(sink, batchesOf(`s${index}`, 20).batches)))
    await Promise.all([sink.check(never), sink.check(never)])
    expect(world.receiver.connections).toMatchObject({ secured: 1, withData: 0 })
    await shipments
    expect(world.receiver.connections).toMatchObject({ secured: 5, withData: 4 })
    expect(world.receiver.events).toBe(80)
  })

  test('that fails fails the shipments that wait for it, with its error; the next one tries again', async () => {
    world.receiver.next(behaviours.refuseClient())
    const sink = world.sink({ probeMs: 100 })
    const failed = await Promise.allSettled([shipAll(sink, batches), shipAll(sink, batches)])
    expect(failed.map((result) => result.status)).toEqual(['rejected', 'rejected'])
    expect(world.receiver.connections.withData).toBe(0)
    await shipAll(sink, batches)
    expect(world.receiver.events).toBe(ids.length)
  })

  test('whoever gives up waiting does not end it for the others', async () => {
    const sink = world.sink({ probeMs: 150 })
    const abort = new AbortController()
    const first = expect(shipAll(sink, batches, abort.signal)).rejects.toThrow()
    const second = shipAll(sink, batches)
    abort.abort(new Error('given up'))
    await first
    await second
    expect(world.receiver.connections).toMatchObject({ secured: 2, withData: 1 })
  })

  test('nobody waiting any more, its failure disturbs nothing', async () => {
    world.receiver.behaviour = behaviours.endEarly({ afterMs: 30 })
    const sink = world.sink({ probeMs: 200 })
    await expect(sink.check(AbortSignal.abort(new Error('given up')))).rejects.toThrow('given up')
    const abort = new AbortController()
    const checked = expect(sink.check(abort.signal)).rejects.toThrow('given up')
    abort.abort(new Error('given up'))
    await checked
    // Vitest fails a run with an unhandled rejection.
    await world.receiver.until(() => world.receiver.connections.secured === 1 && world.receiver.openConnections === 0)
  })

  test('without a shipment waiting, its failure is a warning in the log', async () => {
    const lines: string[] = []
    world.receiver.refuseConnections()
    world.sink({}, { log: pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) }) })
    await eventually(() => lines.join(''), (text) => text.includes('refuses connections'))
    expect(lines).toHaveLength(1)
  })
})

describe('an endpoint that never ends its side', () => {
  test('gets the events of one shipment only: after that, empty probes until one has drained', async () => {
    const sink = world.sink({ drainTimeoutMs: 150 })
    await sink.check(never)
    world.receiver.behaviour = behaviours.neverEnd()
    const said = /did not end its side within 0.15 s .* set confirm: settle/
    for (let attempt = 0; attempt < 4; attempt++) await expect(shipAll(sink, batches)).rejects.toThrow(said)
    expect(world.receiver.connections.withData).toBe(1)
    expect(world.receiver.events).toBe(ids.length)
    world.receiver.behaviour = behaviours.healthy()
    await shipAll(sink, batches)
    expect(world.receiver.events).toBe(2 * ids.length)
  })

  test('is never sent anything where it never did', async () => {
    world.receiver.behaviour = behaviours.neverEnd()
    await expect(shipAll(world.sink({ drainTimeoutMs: 150 }), batches)).rejects.toThrow('set confirm: settle')
    expect(world.receiver.connections.withData).toBe(0)
  })

  test('with settle is believed after a silence', async () => {
    world.receiver.behaviour = behaviours.neverEnd()
    const sink = world.sink({ confirm: 'settle', settleMs: 200 })
    await sink.check(never)
    const begun = performance.now()
    await shipAll(sink, batches)
    expect(performance.now() - begun).toBeGreaterThanOrEqual(195)
    expect(world.receiver.events).toBe(ids.length)
  })

  test('with settle, an end or an error within the silence is a failure', async () => {
    const sink = world.sink({ confirm: 'settle', settleMs: 200 })
    for (const behaviour of [behaviours.endEarly({ lines: 200, delayMs: 50 }), behaviours.reset({ lines: 200, delayMs: 50 })]) {
      world.receiver.nextWithData(behaviour)
      await expect(shipAll(sink, batches)).rejects.toThrow()
    }
  })
})

describe('pressure', () => {
  test('a slow endpoint holds the pipeline back: little more than the room is read ahead', async () => {
    const sink = world.sink()
    await sink.check(never)
    world.receiver.behaviour = behaviours.stall(1)
    const { batches: many } = batchesOf('m', 20_000, 100, 2_000)
    let asked = 0
    const counted = function* (): Generator<Batch> {
      for (const batch of many) {
        asked += 1
        yield batch
      }
    }
    const abort = new AbortController()
    const shipment = pipeline(Readable.from(counted(), { highWaterMark: 1 }), sink.ship({ signal: abort.signal, reject: () => undefined }))
    await expect(shipment).rejects.toThrow('has taken nothing')
    // 40 MB were offered; the sockets of loopback take some megabytes themselves.
    expect(asked).toBeLessThan(many.length / 2)
  })
})

test('200 shipments, four at once: no socket, listener or timer is left', async () => {
  let open = 0
  let most = 0
  // The real connection, counted: every watcher hears 'closed' once.
  const connect: Connect = async (watcher, signal) => {
    const connection = await connectTls(world.config(), systemClock)({
      peerEnding: () => watcher.peerEnding(),
      peerEnded: () => watcher.peerEnded(),
      peerSent: (bytes) => watcher.peerSent(bytes),
      failed: (error) => watcher.failed(error),
      closed: (end) => {
        open -= 1
        watcher.closed(end)
      },
    }, signal)
    open += 1
    most = Math.max(most, open)
    return connection
  }
  const sink = world.sink({ quietMs: 5, probeMs: 5 }, { connect })
  const { signal } = new AbortController()
  let listeners = 0
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (...parameters: Parameters<typeof add>) => {
    listeners += 1
    add(...parameters)
  }
  signal.removeEventListener = (...parameters: Parameters<typeof remove>) => {
    listeners -= 1
    remove(...parameters)
  }
  for (let round = 0; round < 50; round++) {
    await Promise.all(Array.from({ length: 4 }, () => shipAll(sink, batches.slice(0, 2), signal)))
  }
  expect(world.receiver.events).toBe(200 * 20)
  await eventually(() => open, (left) => left === 0)
  expect(most).toBe(4)
  await eventually(() => listeners, (left) => left === 0)
  await world.receiver.until(() => world.receiver.openConnections === 0)
  await sink.close()
  await eventually(() => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length, (sockets) => sockets === 0)
})

test('opting out of verification is said in the log', () => {
  const lines: string[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) })
  world.sink({ verifyHostname: false, allowWeakCertificates: true }, { log })
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
    expect.stringContaining('verify_hostname is off'), expect.stringContaining('allow_weak_certificates is on'),
  ])
})
