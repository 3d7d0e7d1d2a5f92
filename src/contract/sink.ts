import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../pipeline/event.ts'
import type { Sink } from '../pipeline/sink.ts'
import { batchesOf, eventually } from './batches.ts'
import type { Runner } from './runner.ts'

/** Something a destination can be made to do, for every shipment from now on. */
export interface DestinationFault {
  /** `resets`, `stalls`, `dies between reading and acknowledging`, `refuses` ...; a sentence's predicate. */
  readonly name: string
  begin(): void | Promise<void>
  heal(): void | Promise<void>
  /**
   * What a shipment does in it. `fails`: within a moment. `hangs`: until some time-out of its own. `waits`: for as long as it lasts, and is
   * then delivered. In the latter two the suite also aborts and closes in the middle of it.
   */
  readonly effect: 'fails' | 'hangs' | 'waits'
}

/** A destination for one test, and the sink that writes to it. It knows no vendor: a sink of your own can be tested with it too. */
export interface SinkHarness {
  /** With short time-outs: a shipment must fail within some seconds while a fault lasts. */
  createSink(): Sink | Promise<Sink>
  /** The events that the destination has read and kept, as JSON texts, whatever their order. */
  received(): readonly string[] | Promise<readonly string[]>
  readonly faults: readonly DestinationFault[]
  /** Connections that have carried data so far. Undefined: the kind has no connections. */
  connectionsWithData?(): number
  /** Connections open at the destination now. */
  openConnections?(): number
  close(): Promise<void>
}

/** Sends the batches as one shipment, in the way of the pipeline, but that the sink alone is told of the signal. */
export async function shipAll(sink: Sink, batches: Iterable<Batch>, signal: AbortSignal = new AbortController().signal): Promise<void> {
  const source = Readable.from(owned(batches), { highWaterMark: 1 })
  const delivery = sink.ship({ signal, reject: () => undefined })
  if (typeof delivery === 'function') await pipeline(source, delivery)
  else await pipeline(source, delivery)
}

/** A sink may give back the bytes that it gets, so each shipment has its own. */
function* owned(batches: Iterable<Batch>): Generator<Batch> {
  for (const batch of batches) yield { ...batch, lines: new Uint8Array(batch.lines), fingerprints: new Uint8Array(batch.fingerprints) }
}

/**
 * What every sink owes (`Sink`), checked against its real destination. `runner` is the test runner: the functions of node:test, vitest or Jest. Each test
 * makes a harness of its own; `faultNames` are the faults that it offers.
 */
export function sinkContract(name: string, makeHarness: () => Promise<SinkHarness>, faultNames: readonly string[], runner: Runner): void {
  const { describe, test, beforeEach, afterEach } = runner
  describe(`sink contract: ${name}`, () => {
    let harness: SinkHarness
    let sink: Sink

    let socketsBefore = 0

    beforeEach(async () => {
      harness = await makeHarness()
      socketsBefore = ownSockets()
      sink = await harness.createSink()
    })

    afterEach(async () => {
      await sink.close()
      await harness.close()
    })

    const receivedIds = async (): Promise<string[]> => (await harness.received()).map(idOf)
    const faultOf = (wanted: string): DestinationFault => {
      const fault = harness.faults.find((one) => one.name === wanted)
      if (fault === undefined) throw new Error(`the harness has no fault '${wanted}'`)
      return fault
    }

    test('the harness offers exactly the faults that are tested', async () => {
      assert.deepEqual(harness.faults.map((fault) => fault.name), faultNames)
    })

    test('delivered means that the destination has it, every event once', async () => {
      const { ids, batches } = batchesOf('a', 500)
      await shipAll(sink, batches)
      assert.deepEqual((await receivedIds()).sort(), [...ids].sort())
    })

    test('as many shipments at once as it says, each with its own events', async () => {
      const shipments = Array.from({ length: Math.min(sink.maxShipmentsInFlight, 6) }, (_, index) => batchesOf(`s${index}`, 120))
      await Promise.all(shipments.map(({ batches }) => shipAll(sink, batches)))
      assert.deepEqual((await receivedIds()).sort(), shipments.flatMap(({ ids }) => ids).sort())
    })

    test('a shipment without events is delivered without a connection for it', async () => {
      await shipAll(sink, [])
      assert.equal(harness.connectionsWithData?.() ?? 0, 0)
      assert.deepEqual(await harness.received(), [])
    })

    test('check writes no event', async () => {
      await sink.check(new AbortController().signal)
      assert.deepEqual(await harness.received(), [])
      assert.equal(harness.connectionsWithData?.() ?? 0, 0)
    })

    for (const faultName of faultNames) describe(`while the destination ${faultName}`, () => {
      test('nothing that it did not keep counts as delivered; sent again, it arrives', async () => {
        const fault = faultOf(faultName)
        await sink.check(new AbortController().signal)
        await fault.begin()
        const { ids, batches } = batchesOf('a', 300)
        const shipment = shipAll(sink, batches)
        if (fault.effect === 'waits') {
          assert.equal(await Promise.race([shipment.then(() => 'delivered'), sleep(100, 'waiting')]), 'waiting')
          await fault.heal()
          await shipment
        } else {
          await assert.rejects(shipment)
          await fault.heal()
          await shipAllUntilDelivered(sink, batches)
        }
        assert.deepEqual(new Set(await receivedIds()), new Set(ids))
      })

      test('nothing confirmed is lost where the fault comes and goes', async () => {
        const fault = faultOf(faultName)
        const confirmed: string[] = []
        for (let round = 0; round < 3; round++) {
          const { ids, batches } = batchesOf(`r${round}`, 60)
          if (round === 1) await fault.begin()
          const shipment = shipAll(sink, batches).then(() => confirmed.push(...ids), () => undefined)
          if (round !== 1 || fault.effect !== 'waits') await shipment
          if (round === 1) await fault.heal()
          await shipment
        }
        const kept = new Set(await receivedIds())
        assert.deepEqual(confirmed.filter((id) => !kept.has(id)), [])
        // Before the fault at least, all went well.
        assert.ok(confirmed.includes('r0-59'))
      })
    })

    test('a shipment aborted before its first event fails, and leaves nothing', async () => {
      const abort = new AbortController()
      abort.abort(new Error('given up'))
      await assert.rejects(shipAll(sink, batchesOf('a', 10).batches, abort.signal))
      await nothingOpen()
    })

    test('a shipment aborted in the middle fails promptly, and leaves nothing', async () => {
      const fault = harness.faults.find((one) => one.effect !== 'fails')
      await sink.check(new AbortController().signal)
      await fault?.begin()
      const abort = new AbortController()
      const reason = new Error('given up')
      const { batches, begun } = endlessBatches()
      const shipment = assert.rejects(within(2_000, shipAll(sink, batches, abort.signal)), /given up|abort/i)
      await begun
      await firstData()
      abort.abort(reason)
      await shipment
      await eventually(ownSockets, (open) => open <= socketsBefore)
      await fault?.heal()
      await nothingOpen()
    })

    test('close during a shipment fails it and leaves nothing open', async () => {
      const fault = harness.faults.find((one) => one.effect !== 'fails')
      await sink.check(new AbortController().signal)
      await fault?.begin()
      const { batches, begun } = endlessBatches()
      const shipment = assert.rejects(within(2_000, shipAll(sink, batches)), /^(?!.*not settled)/)
      await begun
      await firstData()
      await within(2_000, sink.close())
      await shipment
      assert.ok(ownSockets() <= socketsBefore)
      await fault?.heal()
      await nothingOpen()
    })

    test('close also fails a shipment that has not got its first event yet', async () => {
      const waiting = new PassThrough({ objectMode: true })
      const delivery = sink.ship({ signal: new AbortController().signal, reject: () => undefined })
      const shipment = typeof delivery === 'function' ? pipeline(waiting, delivery) : pipeline(waiting, delivery)
      const failed = assert.rejects(within(2_000, shipment), /^(?!.*not settled)/)
      await sink.close()
      await failed
    })

    test('close works before any shipment, twice, and twice at once; a later shipment fails', async () => {
      await Promise.all([sink.close(), sink.close()])
      await sink.close()
      await assert.rejects(shipAll(sink, batchesOf('a', 10).batches))
      assert.deepEqual(await harness.received(), [])
    })

    test('no timer, socket or listener grows with the number of shipments', async () => {
      const { signal } = new AbortController()
      const few = batchesOf('a', 3).batches
      await shipAll(sink, few, signal)
      await nothingOpen()
      const before = resources()
      for (let round = 0; round < 10; round++) {
        await Promise.all(Array.from({ length: Math.min(4, sink.maxShipmentsInFlight) }, () => shipAll(sink, few, signal)))
      }
      await nothingOpen()
      await eventually(resources, (now) => Object.entries(now).every(([kind, count]) => count <= (before[kind] ?? 0)))
    })

    /** Sockets of this process that are not the destination's: one that stalls does not see that we have left. */
    function ownSockets(): number {
      return (resources().TCPSocketWrap ?? 0) - (harness.openConnections?.() ?? 0)
    }

    /** The destination has got something, where the harness can tell. */
    async function firstData(): Promise<void> {
      if (harness.connectionsWithData !== undefined) await eventually(() => harness.connectionsWithData?.() ?? 0, (count) => count > 0)
    }

    async function nothingOpen(): Promise<void> {
      if (harness.openConnections !== undefined) await eventually(() => harness.openConnections?.() ?? 0, (open) => open === 0)
    }
  })
}

/** The loop that the pipeline has around a shipment, without its waits. */
async function shipAllUntilDelivered(sink: Sink, batches: readonly Batch[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await shipAll(sink, batches)
      return
    } catch (error) {
      if (attempt === 5) throw error
    }
  }
}

/** Far more batches than any buffer on the way takes; `begun` resolves when the second is asked for. */
function endlessBatches(): { readonly batches: Iterable<Batch>; readonly begun: Promise<unknown> } {
  const { batches } = batchesOf('endless', 20_000, 100, 2_000)
  const begun = Promise.withResolvers<null>()
  function* asked(): Generator<Batch> {
    for (const [index, batch] of batches.entries()) {
      if (index === 1) begun.resolve(null)
      yield batch
    }
  }
  return { batches: asked(), begun: begun.promise }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`not settled within ${ms} ms`)), ms)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** What keeps the process alive, by kind. */
function resources(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

function idOf(json: string): string {
  const event: unknown = JSON.parse(json)
  if (typeof event === 'object' && event !== null && 'id' in event && typeof event.id === 'string') return event.id
  throw new Error(`an event without its id: ${json}`)
}
