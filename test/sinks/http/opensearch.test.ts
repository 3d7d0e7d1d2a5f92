import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import { eventsOf, type Batch } from '../../../src/pipeline/event.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import type { HttpConfig } from '../../../src/sinks/http/config.ts'
import { createHttpSink } from '../../../src/sinks/http/sink.ts'
import { batchesOf, batchOf } from '../../contract/batches.ts'
import { describeOpenSearch, startOpenSearch, type OpenSearch } from '../../support/opensearch.ts'

/** Hits of a search as this file asks for them. */
interface Found {
  readonly hits: { readonly hits: readonly { readonly _source: { readonly id: string } }[] }
}

describeOpenSearch('elastic_bulk to a real OpenSearch', () => {
  let server: OpenSearch
  const sinks: Sink[] = []

  beforeAll(async () => {
    server = await startOpenSearch({ 'http.max_content_length': '200kb' })
  })
  afterAll(async () => {
    await Promise.all(sinks.map(async (sink) => sink.close()))
    await server.dispose()
  })

  function sinkTo(index: string, over: Partial<HttpConfig> = {}): Sink {
    const sink = createHttpSink({
      url: server.url, format: 'elastic_bulk', headers: {}, authorization: null, ca: null, cert: null, key: null, gzip: false,
      maxRequestBytes: 20_000, timeoutMs: 30_000, index,
      splunk: { host: null, source: '', sourcetype: '', fields: {}, acknowledgeTimeoutMs: null },
      ...over,
    }, { name: 'http_1', clock: systemClock, log: pino({ level: 'silent' }), hostName: 'collector-1' })
    sinks.push(sink)
    return sink
  }

  /** Ships, and gives what was refused for good. */
  async function ship(sink: Sink, batches: readonly Batch[]): Promise<string[]> {
    const refused: string[] = []
    const delivery = sink.ship({
      signal: new AbortController().signal,
      reject: (batch, index, reason) => refused.push(`${Buffer.from([...eventsOf(batch)][index] ?? []).toString()} ${reason}`),
    })
    if (typeof delivery !== 'function') throw new Error('not a function')
    await pipeline(Readable.from(batches, { highWaterMark: 1 }), delivery)
    return refused
  }

  async function idsIn(index: string): Promise<string[]> {
    await server.ask('POST', `/${index}/_refresh`)
    const found = await server.ask('GET', `/${index}/_search?size=10000`) as Found // the answer to a search
    return found.hits.hits.map(({ _source }) => _source.id).sort()
  }

  const freshIndex = (): string => `t-${randomUUID()}`

  test('check is content, and makes no index', async () => {
    const index = freshIndex()
    await sinkTo(index).check(new AbortController().signal)
    expect(await server.ask('GET', '/_cat/indices?format=json')).not.toContainEqual(expect.objectContaining({ index }))
  })

  test('every event is there once, also when all are sent again, compressed and not', async () => {
    const index = freshIndex()
    const { ids, batches } = batchesOf('a', 500)
    expect(await ship(sinkTo(`${index}-{service}`), batches)).toEqual([])
    expect(await ship(sinkTo(`${index}-{service}`, { gzip: true }), batchesOf('a', 500).batches)).toEqual([])
    expect(await idsIn(`${index}-clicksblocked`)).toEqual([...ids].sort())
  })

  test('what does not fit the mapping is refused by itself', async () => {
    const index = freshIndex()
    const events = ['{"id":"0","at":1}', '{"id":"1","at":{"deep":1}}', '{"id":"2","at":"no number"}', '{"id":"3","at":2}', '{"id":"4","":1,"at":null}', '{"id":"5","at":[1,2]}']
    const refused = await ship(sinkTo(index), [batchOf(events)])
    expect(refused).toEqual([
      expect.stringMatching(/^\{"id":"1".*refused \(400\): mapper_parsing_exception: failed to parse field \[at\] of type \[long\]/),
      expect.stringMatching(/^\{"id":"2".*refused \(400\): mapper_parsing_exception: failed to parse field \[at\] of type \[long\]/),
      expect.stringMatching(/^\{"id":"4".*refused \(400\): .*empty/),
    ])
    expect(await idsIn(index)).toEqual(['0', '3', '5'])
  })

  test('a request that is too large is cut, an event that is too large refused', async () => {
    const index = freshIndex()
    const { ids, batches } = batchesOf('a', 1_000, 100, 500)
    const large = JSON.stringify({ id: 'large', text: 'x'.repeat(250_000) })
    const refused = await ship(sinkTo(index, { maxRequestBytes: 1_000_000 }), [...batches, batchOf([large])])
    expect(refused).toEqual([expect.stringContaining('too large for the destination (413)')])
    expect(await idsIn(index)).toEqual([...ids].sort())
  })

  test('an index that takes nothing for now keeps the events waiting', async () => {
    const index = freshIndex()
    const sink = sinkTo(index)
    await ship(sink, batchesOf('a', 10).batches)
    await server.ask('PUT', `/${index}/_settings`, { 'index.blocks.write': true })
    await expect(ship(sink, batchesOf('b', 10).batches)).rejects.toThrow(/does not store an event \(403\): cluster_block_exception/)
    await server.ask('PUT', `/${index}/_settings`, { 'index.blocks.write': false })
    expect(await ship(sink, batchesOf('b', 10).batches)).toEqual([])
    expect(await idsIn(index)).toHaveLength(20)
  })

  test('a name that no index can have is no verdict on the events', async () => {
    await expect(ship(sinkTo('no good'), batchesOf('a', 50).batches)).rejects.toThrow('invalid_index_name_exception')
  })

  test('killed in the middle of a shipment: it fails, and comes again without a double', async () => {
    const index = freshIndex()
    const sink = sinkTo(index)
    const { ids, batches } = batchesOf('a', 2_000, 100)
    async function* killing(): AsyncGenerator<Batch> {
      for (const [at, batch] of batches.entries()) {
        if (at === 10) await server.kill()
        yield { ...batch, lines: new Uint8Array(batch.lines) }
      }
    }
    const delivery = sink.ship({ signal: new AbortController().signal, reject: () => undefined })
    if (typeof delivery !== 'function') throw new Error('not a function')
    await expect(pipeline(Readable.from(killing(), { highWaterMark: 1 }), delivery)).rejects.toThrow(RetryableError)
    await server.start()
    // It answers before its indexes are ready.
    await server.ask('GET', '/_cluster/health?wait_for_status=yellow&timeout=60s')
    expect(await ship(sink, batchesOf('a', 2_000, 100).batches)).toEqual([])
    expect(await idsIn(index)).toEqual([...ids].sort())
  }, 90_000)
})
