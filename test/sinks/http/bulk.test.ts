import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { afterEach, describe, expect, test } from 'vitest'
import type { Batch } from '../../../src/pipeline/event.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import type { HttpConfig } from '../../../src/sinks/http/config.ts'
import { batchesOf, batchOf } from '../../contract/batches.ts'
import { elasticWorld, splunkWorld, type World } from './world.ts'

const worlds: World<unknown>[] = []
afterEach(async () => {
  await Promise.all(worlds.splice(0).map(async (world) => world.close()))
})

function kept<A>(world: World<A>): World<A> {
  worlds.push(world)
  return world
}

/** The reasons of what was refused for good. */
async function ship(sink: Sink, batches: readonly Batch[]): Promise<string[]> {
  const reasons: string[] = []
  const delivery = sink.ship({ signal: new AbortController().signal, reject: (_batch, index, reason) => reasons.push(`${index}: ${reason}`) })
  if (typeof delivery !== 'function') throw new Error('not a function')
  await pipeline(Readable.from(batches, { highWaterMark: 1 }), delivery)
  return reasons
}

const check = async (sink: Sink): Promise<void> => sink.check(new AbortController().signal)
/** A world's settings but for the time that an acknowledgement may take. */
const impatient = (world: World<unknown>): Partial<HttpConfig> => ({ splunk: { ...world.config().splunk, acknowledgeTimeoutMs: 1_000 } })
const withId = (id: string, more: object = {}): string => JSON.stringify({ id, ...more })

describe('splunk_hec', () => {
  test('each event stands in its envelope', async () => {
    const { api, sink } = kept(await splunkWorld(false))
    await ship(sink({ index: 'tap-{service}', splunk: { host: 'me', source: 's-%Y', sourcetype: 'st', fields: { team: 'mail' }, acknowledgeTimeoutMs: null } }), [batchOf(['{"a":1.0}'])])
    expect(api.indexed).toEqual([{
      time: 1_700_000_000.123, host: 'me', source: 's-2023', sourcetype: 'st', index: 'tap-clicksBlocked',
      fields: { team: 'mail', input: 'input-1', service: 'clicksBlocked', fingerprint: expect.stringMatching(/^[0-9a-f]{32}$/) as string },
      event: { a: 1, '@devo_pulling_id': '1700000000123' },
    }])
    await ship(sink(), [batchOf(['{}'])])
    expect(api.indexed[1]).toMatchObject({ host: 'collector-1', source: 'input-1/clicksBlocked', sourcetype: 'proofpoint:tap:clicksBlocked' })
    expect(api.indexed[1]).not.toHaveProperty('index')
  })

  test('a bad event is found in one step, by the number that Splunk names', async () => {
    const { api, destination, sink } = kept(await splunkWorld(false))
    const events = Array.from({ length: 100 }, (_, index) => withId(String(index), index === 63 ? { bad: true } : {}))
    expect(await ship(sink(), [batchOf(events)])).toEqual([expect.stringContaining('63: refused (400)')])
    expect(api.events).toHaveLength(99)
    expect(destination.asked).toHaveLength(4)
  })

  test('a number that names another event leads there all the same', async () => {
    const { api, destination, sink } = kept(await splunkWorld(false))
    const events = Array.from({ length: 100 }, (_, index) => withId(String(index), index === 63 ? { bad: true } : {}))
    destination.trouble = (asked) => {
      const told = asked.body.includes('"bad"') ? { status: 400, body: { text: 'Invalid data format', code: 6, 'invalid-event-number': 5000 } } : null
      return told
    }
    expect(await ship(sink(), [batchOf(events)])).toEqual([expect.stringContaining('63: refused')])
    expect(api.events).toHaveLength(99)
  })

  test.each([
    [{ status: 400, body: { text: 'Incorrect index', code: 7, 'invalid-event-number': 0 } }, 'check index, and which indexes the token allows'],
    [{ status: 400, body: { text: 'Data channel is missing', code: 10 } }, 'set acknowledge: true'],
    [{ status: 403, body: { text: 'Token disabled', code: 1 } }, 'check credentials'],
    [{ status: 503, body: { text: 'Server is busy', code: 9 } }, 'Server is busy'],
    [{ status: 200, body: { text: 'odd', code: 8 } }, 'does not answer as Splunk\'s collector does'],
    [{ status: 200, body: '<html>sign in</html>' }, 'does not answer as Splunk\'s collector does'],
  ])('%j is tried again', async (trouble, advice) => {
    const { destination, sink } = kept(await splunkWorld(false))
    destination.trouble = trouble
    await expect(ship(sink(), batchesOf('a', 5).batches)).rejects.toThrow(advice)
  })

  test('check proves the login, and whether the token has acknowledgement', async () => {
    const plain = kept(await splunkWorld(false))
    await check(plain.sink())
    await expect(check(plain.sink({ authorization: 'Splunk wrong-token' }))).rejects.toThrow('check credentials')
    await expect(check(plain.sink({ authorization: null }))).rejects.toThrow('Token is required')
    await expect(check(plain.sink({ url: `${plain.destination.origin}/services/collector/nowhere` }))).rejects.toThrow('check url')
    const acknowledging = { ...plain.config().splunk, acknowledgeTimeoutMs: 1_000 }
    await expect(check(plain.sink({ splunk: acknowledging }))).rejects.toThrow('set acknowledge: false')
    const other = kept(await splunkWorld(true))
    await check(other.sink())
    await expect(check(other.sink({ splunk: { ...acknowledging, acknowledgeTimeoutMs: null } }))).rejects.toThrow('set acknowledge: true')
  })

  test('acknowledged is delivered, however late it comes, and nothing before', async () => {
    const { api, sink } = kept(await splunkWorld(true))
    let polls = 0
    api.isIndexed = (id) => id !== 2 || ++polls > 2
    await ship(sink({ maxRequestBytes: 3_000 }), batchesOf('a', 50).batches)
    expect(api.events).toHaveLength(50)
    expect(polls).toBe(3)
  })

  test('what is not acknowledged in time fails', async () => {
    const world = kept(await splunkWorld(true))
    world.api.isIndexed = (id) => id < 2
    await expect(ship(world.sink({ ...impatient(world), maxRequestBytes: 3_000 }), batchesOf('a', 50).batches)).rejects.toThrow(/has not acknowledged [1-9]\d* requests within 1 s/)
  })

  test('a collector that starts anew in the middle does not pass for one that has indexed', async () => {
    const { api, destination, sink } = kept(await splunkWorld(true))
    let requests = 0
    destination.trouble = ({ path }) => {
      if (path.endsWith('/event') && ++requests === 3) api.restart()
      return null
    }
    await expect(ship(sink({ maxRequestBytes: 3_000 }), batchesOf('a', 50).batches)).rejects.toThrow('gave the same ackId twice')
    expect(api.events).toEqual([])
  })

  test('each shipment has a channel of its own, so that no other one is acknowledged by the same id', async () => {
    const { destination, sink } = kept(await splunkWorld(true))
    const one = sink({ maxRequestBytes: 3_000 })
    const channels: (string | string[] | undefined)[][] = []
    for (const name of ['a', 'b']) {
      const before = destination.asked.length
      await ship(one, batchesOf(name, 50).batches)
      channels.push([...new Set(destination.asked.slice(before).map(({ headers }) => headers['x-splunk-request-channel']))])
    }
    expect(channels.map((of) => of.length)).toEqual([1, 1])
    expect(channels[0]).not.toEqual(channels[1])
  })

  test('nor one that starts anew behind the last request', async () => {
    const world = kept(await splunkWorld(true))
    world.destination.trouble = ({ path }) => {
      if (path.endsWith('/ack')) world.api.restart()
      return null
    }
    await expect(ship(world.sink(impatient(world)), batchesOf('a', 5).batches)).rejects.toThrow('has not acknowledged 1 requests')
  })

  test('an answer without an ackId says what to do', async () => {
    const world = kept(await splunkWorld(false))
    await expect(ship(world.sink(impatient(world)), batchesOf('a', 5).batches)).rejects.toThrow('gives no ackId')
  })
})

describe('elastic_bulk', () => {
  test('an event is created under its fingerprint, in the index of its service and day', async () => {
    const { api, destination, sink } = kept(await elasticWorld())
    await ship(sink({ index: 'tap-{service}-%Y.%m.%d' }), [batchOf(['{"a":1.0}'])])
    const [name, documents] = [...api.indexes][0] ?? []
    expect(name).toBe('tap-clicksblocked-2023.11.14')
    expect([...(documents ?? [])]).toEqual([[expect.stringMatching(/^[0-9a-f]{32}$/), '{"a":1.0,"@devo_pulling_id":"1700000000123"}']])
    expect(destination.asked[0]?.path).toBe('/_bulk')
  })

  test('what comes again is there already, and so delivered', async () => {
    const { api, sink } = kept(await elasticWorld())
    const { batches } = batchesOf('a', 20)
    await ship(sink(), batches)
    await ship(sink(), batchesOf('a', 20).batches)
    expect(api.documents).toHaveLength(20)
  })

  test('a document that does not fit the mapping is refused, and only that', async () => {
    const { api, sink } = kept(await elasticWorld())
    const events = [withId('0', { at: 'x' }), withId('1', { at: { deep: 1 } }), withId('2', { at: 'y' })]
    expect(await ship(sink(), [batchOf(events)])).toEqual([expect.stringMatching(/^1: refused \(400\): document_parsing_exception: object mapping for \[at\]/)])
    expect(api.documents).toHaveLength(2)
  })

  test('all refused is no verdict on the events', async () => {
    const { sink } = kept(await elasticWorld())
    await expect(ship(sink({ index: 'no good' }), batchesOf('a', 50).batches)).rejects.toThrow('invalid_index_name_exception')
  })

  test.each([429, 503, 403, 404])('an event that is not stored (%i) fails the shipment; the others are there when it comes again', async (status) => {
    const { api, sink } = kept(await elasticWorld())
    api.mood = (document) => (document.includes('"a-7"') ? status : 201)
    await expect(ship(sink(), batchesOf('a', 20).batches)).rejects.toThrow(`does not store an event (${status})`)
    expect(api.documents).toHaveLength(19)
    api.mood = null
    expect(await ship(sink(), batchesOf('a', 20).batches)).toEqual([])
    expect(api.documents).toHaveLength(20)
  })

  test.each([
    [{ status: 200, body: { errors: true, items: [] } }, 'answers for 0 events, but 5 were sent'],
    [{ status: 200, body: { errors: false, items: [{}, {}, {}, {}, {}] } }, 'does not say what became of an event'],
    [{ status: 200, body: '<html>' }, 'does not answer as the bulk API does'],
    [{ status: 400, body: { error: { type: 'illegal_argument_exception' } } }, 'does not understand the bulk request (400)'],
  ])('%j is tried again', async (trouble, advice) => {
    const { destination, sink } = kept(await elasticWorld())
    destination.trouble = trouble
    await expect(ship(sink(), batchesOf('a', 5).batches)).rejects.toThrow(advice)
  })

  test('no error at all needs no items', async () => {
    const { destination, sink } = kept(await elasticWorld())
    destination.trouble = { status: 200, body: { errors: false } }
    expect(await ship(sink(), batchesOf('a', 5).batches)).toEqual([])
  })

  test('check proves the login', async () => {
    const { destination, sink } = kept(await elasticWorld())
    await check(sink())
    await expect(check(sink({ authorization: 'ApiKey wrong' }))).rejects.toThrow('check credentials')
    await expect(check(sink({ url: `${destination.origin}/elsewhere` }))).rejects.toThrow('check url')
  })
})
