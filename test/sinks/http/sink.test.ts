import { getEventListeners } from 'node:events'
import { rename } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import { eventsOf, type Batch } from '../../../src/pipeline/event.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import { makeAuthority, writePemFiles } from '../../../src/simulator/certificates.ts'
import { batchesOf, batchOf, eventually } from '../../contract/batches.ts'
import { shipAll } from '../../contract/sink-suite.ts'
import type { Asked } from './destination.ts'
import { jsonWorld, type World, type WorldOptions } from './world.ts'
import type { JsonApi } from './json-api.ts'

const worlds: World<unknown>[] = []
afterEach(async () => {
  await Promise.all(worlds.splice(0).map(async (world) => world.close()))
})

async function open(form: 'ndjson' | 'json_array' = 'ndjson', options?: WorldOptions): Promise<World<JsonApi>> {
  const world = await jsonWorld(form, options)
  worlds.push(world)
  return world
}

/** Ships, and gives what the destination refused for good: the event and the reason. */
async function shipped(sink: Sink, batches: readonly Batch[]): Promise<{ readonly event: string; readonly reason: string }[]> {
  const rejected: { event: string; reason: string }[] = []
  const delivery = sink.ship({
    signal: new AbortController().signal,
    reject: (batch, index, reason) => {
      rejected.push({ event: Buffer.from([...eventsOf(batch)][index] ?? []).toString(), reason })
    },
  })
  if (typeof delivery !== 'function') throw new Error('not a function')
  await pipeline(Readable.from(batches, { highWaterMark: 1 }), delivery)
  return rejected
}

async function failure(work: Promise<unknown>): Promise<RetryableError> {
  const error: unknown = await work.then(() => null, (reason: unknown) => reason)
  if (error instanceof RetryableError) return error
  throw new Error(`no RetryableError but ${String(error)}`)
}

const withId = (id: string, more: object = {}): string => JSON.stringify({ id, ...more })
const idsOf = (texts: readonly string[]): string[] => texts.map((text) => (JSON.parse(text) as { id: string }).id) // all events of these tests have one

describe('what is sent', () => {
  test('ndjson and json_array: the bytes of the events, with the pull', async () => {
    const events = ['{"a":1.0,"b":12345678901234567890,"c":"\\u00e9é"}', '{}']
    const tail = '"@devo_pulling_id":"1700000000123","@devo_environment":"prod"}'
    const lines = [`{"a":1.0,"b":12345678901234567890,"c":"\\u00e9é",${tail}`, `{${tail}`]
    for (const [form, expected] of [['ndjson', `${lines.join('\n')}\n`], ['json_array', `[${lines.join(',')}]`]] as const) {
      const world = await open(form)
      await shipAll(world.sink({ headers: { 'X-Team': 'mail', 'User-Agent': 'ours' } }), [batchOf(events, { environment: 'prod' })])
      const [asked] = world.destination.asked
      expect(asked?.body).toBe(expected)
      expect(asked?.headers).toMatchObject({ 'x-team': 'mail', 'user-agent': 'ours', 'content-length': String(Buffer.byteLength(expected)) })
    }
  })

  test('compressed where it is wanted, and then max_request_bytes counts before', async () => {
    const world = await open()
    const { ids, batches } = batchesOf('a', 200)
    await shipAll(world.sink({ gzip: true, maxRequestBytes: 10_000 }), batches)
    for (const { headers, raw, body } of world.destination.asked) {
      expect(headers['content-encoding']).toBe('gzip')
      expect(raw.length).toBeLessThan(body.length / 2)
      expect(body.length).toBeLessThanOrEqual(10_000)
    }
    expect(world.destination.asked.length).toBeGreaterThan(4)
    expect(idsOf(world.api.kept)).toEqual(ids)
  })

  test.each(['ndjson', 'json_array'] as const)('%s: requests are as full as they may be, and an event that is larger goes alone', async (form) => {
    const world = await open(form)
    const events = [300, 300, 300, 2_000, 300, 300].map((size, index) => withId(String(index), { text: 'x'.repeat(size) }))
    await shipAll(world.sink({ maxRequestBytes: 1_100 }), [batchOf(events)])
    expect(world.destination.asked.map(({ body }) => body.split('"id"').length - 1)).toEqual([3, 1, 2])
    expect(idsOf(world.api.kept)).toEqual(['0', '1', '2', '3', '4', '5'])
  })

  test('a destination that takes nothing more holds the pipeline back', async () => {
    const world = await open()
    world.destination.trouble = 'stalls'
    let asked = 0
    function* endless(): Generator<Batch> {
      for (const batch of batchesOf('a', 100_000, 100).batches) {
        asked += 1
        yield batch
      }
    }
    const abort = new AbortController()
    const shipment = expect(shipAll(world.sink({ maxRequestBytes: 100_000, timeoutMs: 60_000 }), endless(), abort.signal)).rejects.toThrow('enough')
    await eventually(() => world.destination.withEvents, (requests) => requests === 1)
    // 100 events of some 250 bytes a batch: four fill a request, and a few more wait in the streams.
    expect(asked).toBeLessThan(10)
    abort.abort(new Error('enough'))
    await shipment
  })
})

describe('an event that the destination refuses for good', () => {
  test.each(['ndjson', 'json_array'] as const)('%s: 400 is followed to it, and all others are delivered, once', async (form) => {
    const world = await open(form)
    const events = Array.from({ length: 300 }, (_, index) => withId(String(index), [17, 18, 250].includes(index) ? { bad: true } : {}))
    const rejected = await shipped(world.sink(), [batchOf(events.slice(0, 100)), batchOf(events.slice(100, 200)), batchOf(events.slice(200))])
    expect(rejected.map(({ event }) => event).sort()).toEqual([17, 18, 250].map((index) => events[index]).sort())
    expect(rejected[0]?.reason).toBe('refused (400): schema violation')
    expect(idsOf(world.api.kept).sort()).toEqual(idsOf(events).filter((id) => !['17', '18', '250'].includes(id)).sort())
    expect(world.destination.asked.length).toBeLessThan(70)
  })

  test('one that is too large (413) as well; smaller requests are learnt from 413', async () => {
    const world = await open('ndjson', { maxBodyBytes: 5_000 })
    const { ids, batches } = batchesOf('a', 100)
    const large = withId('large', { text: 'x'.repeat(6_000) })
    const sink = world.sink()
    const rejected = await shipped(sink, [...batches.slice(0, 5), batchOf([large]), ...batches.slice(5)])
    expect(rejected).toEqual([{ event: large, reason: expect.stringContaining('too large for the destination (413)') as string }])
    expect(idsOf(world.api.kept).sort()).toEqual([...ids].sort())
    const before = world.destination.asked.length
    await shipAll(sink, batches)
    expect(world.destination.asked.slice(before).filter(({ raw }) => raw.length === 0)).toEqual([])
  })

  test('is no dead letter where the destination takes nothing else either: it may be the configuration', async () => {
    const world = await open()
    world.destination.trouble = { status: 400, body: 'unknown field' }
    const { batches } = batchesOf('a', 100)
    const { message } = await failure(shipped(world.sink(), batches))
    expect(message).toContain('takes no event at all')
    expect(message).toContain('unknown field')
    // It is not asked about every single event.
    expect(world.destination.asked.length).toBeLessThan(220)
  })

  test('nor are ever more of them in small shipments', async () => {
    const world = await open()
    const sink = world.sink()
    world.destination.trouble = { status: 400 }
    for (let shipment = 0; shipment < 10; shipment++) expect(await shipped(sink, [batchOf([withId(String(shipment))])])).toHaveLength(1)
    await expect(shipped(sink, [batchOf([withId('11')])])).rejects.toThrow('takes no event at all')
    world.destination.trouble = null
    await shipped(sink, [batchOf([withId('good')])])
    expect(await shipped(sink, [batchOf([withId('bad', { bad: true })])])).toHaveLength(1)
  })
})

describe('what is tried again', () => {
  test.each([
    [401, 'check credentials'], [403, 'check credentials, and what they may write'], [404, 'check url'], [405, 'check url, format and headers'],
    [415, 'check url, format and headers'], [429, 'takes no more for now (429)'], [500, 'answers 500'], [502, 'answers 502'], [503, 'takes no more for now (503)'],
  ])('%i', async (status, advice) => {
    const world = await open()
    world.destination.trouble = { status, body: 'the\nreason' }
    const sink = world.sink()
    const { message } = await failure(shipped(sink, batchesOf('a', 10).batches))
    expect(message).toContain(advice)
    expect(message).toContain(': the reason')
    expect((await failure(sink.check(new AbortController().signal))).message).toBe(message)
  })

  test('a redirect, which is not followed', async () => {
    const world = await open()
    world.destination.trouble = { status: 302, headers: { location: 'https://elsewhere.example.com/login' } }
    await expect(shipped(world.sink(), batchesOf('a', 10).batches)).rejects.toThrow('redirect (302) to https://elsewhere.example.com/login, which is not followed: check url')
    expect(world.destination.asked).toHaveLength(1)
  })

  test('Retry-After: the failure names it, and no shipment sends before', async () => {
    const world = await open()
    world.destination.trouble = { status: 429, headers: { 'retry-after': '120' } }
    const sink = world.sink()
    expect((await failure(shipped(sink, batchesOf('a', 10).batches))).retryAfterMs).toBe(120_000)
    world.destination.trouble = null
    const second = await failure(shipped(sink, batchesOf('b', 10).batches))
    expect(second.retryAfterMs).toBeGreaterThan(100_000)
    expect(second.message).toContain('takes no more for now (429)')
    expect(world.destination.asked).toHaveLength(1)
  })

  test('in the middle of a shipment it waits where it is: nothing comes twice', async () => {
    const world = await open()
    const { ids, batches } = batchesOf('a', 100)
    let requests = 0
    world.destination.trouble = () => (++requests === 3 ? { status: 429, headers: { 'retry-after': '1' } } : null)
    const begun = performance.now()
    await shipAll(world.sink({ maxRequestBytes: 5_000 }), batches)
    expect(performance.now() - begun).toBeGreaterThan(950)
    expect(idsOf(world.api.kept)).toEqual(ids)
  })

  test('a destination that does not answer in time', async () => {
    const world = await open()
    world.destination.trouble = 'stalls'
    await expect(shipped(world.sink({ timeoutMs: 100 }), batchesOf('a', 10).batches)).rejects.toThrow(/has not answered within 0.1 s/)
  })

  test('no secret is repeated, whatever the destination says', async () => {
    const world = await open()
    world.destination.trouble = ({ headers, query }: Asked) => ({
      status: 403,
      body: `refused: ${headers.authorization ?? ''} ${Buffer.from((headers.authorization ?? '').slice(6), 'base64').toString()} ${String(headers['x-api-key'])} ${query.get('api_token') ?? ''}`,
    })
    const sink = world.sink({ headers: { 'X-Api-Key': 'k-4711-k' }, url: `${world.destination.origin}/events?api_token=q-0815-q` })
    const { message } = await failure(shipped(sink, batchesOf('a', 10).batches))
    expect(message).toContain('refused: ')
    for (const secret of ['hunter2', 'k-4711-k', 'q-0815-q', Buffer.from('me:hunter2').toString('base64')]) expect(message).not.toContain(secret)
  })
})

describe('the connection', () => {
  test('a destination of an authority that nobody trusts', async () => {
    const world = await open()
    await expect(shipped(world.sink({ ca: null }), batchesOf('a', 10).batches)).rejects.toThrow(/sending to https:\/\/localhost:\d+ failed \(its authority may be named by tls.ca\)/)
  })

  test('our certificate is presented; new files count from the next shipment', async () => {
    const world = await open('ndjson', { askForCertificate: true })
    const files = { cert: join(world.folder, 'me.crt'), key: join(world.folder, 'me.key') }
    await failure(shipped(world.sink(), batchesOf('a', 1).batches))
    const sink = world.sink(files)
    const stranger = await (await makeAuthority({ commonName: 'Stranger' })).issue({ commonName: 'x', client: true })
    await writePemFiles(world.folder, { 'me.crt': stranger.certPem, 'me.key': stranger.keyPem })
    await failure(shipped(sink, batchesOf('b', 1).batches))
    await writePemFiles(world.folder, { 'me.crt': world.client.certPem, 'me.key': world.client.keyPem })
    await shipped(sink, batchesOf('c', 1).batches)
    expect(idsOf(world.api.kept)).toEqual(['c-0'])
    await rename(files.key, `${files.key}.gone`)
    await expect(shipped(sink, batchesOf('d', 1).batches)).rejects.toThrow(`there is no file ${files.key}`)
  })

  test('HTTPS_PROXY and NO_PROXY are honoured, and a mistake in them is named', async () => {
    const world = await open()
    const targets: string[] = []
    const proxy = http.createServer().on('connect', (request, socket) => {
      targets.push(request.url ?? '')
      const onward = net.connect(Number(new URL(world.destination.origin).port), 'localhost', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
        onward.pipe(socket).pipe(onward)
      })
      for (const end of [onward, socket]) end.on('error', () => undefined)
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    // a server that listens on TCP has such an address
    const { port } = proxy.address() as net.AddressInfo
    const before = { ...process.env }
    try {
      process.env.HTTPS_PROXY = `http://127.0.0.1:${port}`
      await shipped(world.sink(), batchesOf('a', 1).batches)
      expect(targets).toEqual([new URL(world.destination.origin).host])
      process.env.NO_PROXY = 'localhost'
      await shipped(world.sink(), batchesOf('b', 1).batches)
      expect(targets).toHaveLength(1)
      process.env.HTTPS_PROXY = 'proxy:3128'
      await expect(shipped(world.sink(), batchesOf('c', 1).batches)).rejects.toThrow('the environment variable HTTPS_PROXY is not the URL of a proxy')
    } finally {
      process.env = before
      proxy.closeAllConnections()
      await new Promise((resolve) => proxy.close(resolve))
    }
    expect(idsOf(world.api.kept)).toEqual(['a-0', 'b-0'])
  })

  test('one connection a shipment, and none is left', async () => {
    const world = await open()
    const sink = world.sink({ maxRequestBytes: 1_000 })
    await shipped(sink, batchesOf('a', 50).batches)
    expect(world.destination.asked.length).toBeGreaterThan(10)
    await eventually(() => world.destination.openConnections, (open) => open === 0)
  })

  test('nothing is left on the signal of the pipeline, however a shipment ends', async () => {
    const world = await open()
    const sink = world.sink()
    const { signal } = new AbortController()
    await shipAll(sink, batchesOf('a', 5).batches, signal)
    world.destination.trouble = { status: 500 }
    await failure(shipAll(sink, batchesOf('b', 5).batches, signal))
    await failure(sink.check(signal))
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })
})
