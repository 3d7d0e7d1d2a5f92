import { createHash } from 'node:crypto'
import { PassThrough } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gunzipSync } from 'node:zlib'
import pino from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { RetryableError } from '../../../src/pipeline/errors.ts'
import type { Batch } from '../../../src/pipeline/event.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import { encodeLines } from '../../../src/sinks/line.ts'
import { batchesOf, batchOf } from '../../contract/batches.ts'
import { shipAll } from '../../contract/sink-suite.ts'
import { describeS3, startS3, WRITER, type S3Server } from '../../support/s3.ts'
import { HurriedClock } from '../hurried-clock.ts'
import { errorDocument, type Asked, type Trouble } from './gateway.ts'
import { makeWorld, type World } from './world.ts'

const PART = 8 * 1024 * 1024

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void // as V8 has it

describeS3('output s3', () => {
  let server: S3Server
  let world: World

  beforeAll(async () => {
    server = await startS3()
  })
  afterAll(async () => server.dispose())
  beforeEach(async () => {
    world = await makeWorld(server)
  })
  afterEach(async () => {
    vi.useRealTimers()
    vi.unstubAllEnvs()
    await world.close()
  })

  const keys = async (): Promise<readonly string[]> => (await world.objects()).map(({ key }) => key)
  const ndjson = (batches: readonly Batch[]): Buffer => Buffer.concat(batches.map((batch) => encodeLines(batch, Buffer.alloc(0))))
  /** Why a shipment of one event, or of the given ones, fails. */
  const failure = async (sink: Sink, batches: readonly Batch[] = batchesOf('a', 1).batches): Promise<RetryableError> =>
    shipAll(sink, batches).then(() => expect.unreachable('the shipment was delivered'), (error: unknown) => error as RetryableError) // what the tests look at
  /** Two parts and a rest. */
  const large = batchesOf('large', 900, 25, 20_000)

  const queryOf = ({ path }: Asked): URLSearchParams => new URL(path, 'https://localhost').searchParams
  const isPart = (asked: Asked, number: number): boolean => queryOf(asked).get('partNumber') === String(number)
  const isBegin = (asked: Asked): boolean => asked.method === 'POST' && queryOf(asked).has('uploads')
  const isComplete = (asked: Asked): boolean => asked.method === 'POST' && queryOf(asked).has('uploadId')

  describe('objects', () => {
    const at = (time: string, service: string, events: readonly string[], inputId = 'input-1'): Batch =>
      batchOf(events, { pulledAt: Date.parse(time), service, inputId, environment: 'prod' })

    test('one for each service and hour of the pull, with the bytes of its events', async () => {
      const clicks = [at('2026-11-20T10:00:00.123Z', 'clicksBlocked', ['{"id":"a"}', '{"id":"b","@devo_pulling_id":"7"}']), at('2026-11-20T10:59:59.999Z', 'clicksBlocked', ['{}'])]
      const messages = [at('2026-11-20T10:00:00.123Z', 'messagesBlocked', ['{"id":"c"}'])]
      const later = [at('2026-11-20T11:00:00Z', 'clicksBlocked', ['{"id":"d"}'])]
      await shipAll(world.sink(), [clicks, messages, later].flat())
      const [one = '', two = '', three = '', ...others] = await keys()
      expect(others).toEqual([])
      expect(one).toMatch(/^tap\/clicksBlocked\/2026\/11\/20\/10\/20261120T100000123Z-[0-9a-f]{32}\.ndjson$/)
      expect(two).toMatch(/^tap\/clicksBlocked\/2026\/11\/20\/11\/20261120T110000000Z-[0-9a-f]{32}\.ndjson$/)
      expect(three).toMatch(/^tap\/messagesBlocked\/2026\/11\/20\/10\/20261120T100000123Z-[0-9a-f]{32}\.ndjson$/)
      expect(await world.get(one)).toEqual(ndjson(clicks))
      expect(await world.get(two)).toEqual(ndjson(later))
      expect(await world.get(three)).toEqual(ndjson(messages))
    })

    test('compressed they are one stream of gzip', async () => {
      const { batches } = batchesOf('a', 500)
      await shipAll(world.sink({ gzip: true, prefix: '' }), batches)
      const [key = ''] = await keys()
      expect(key).toMatch(/^clicksBlocked\/.*\.ndjson\.gz$/)
      const bytes = await world.get(key)
      expect(gunzipSync(bytes)).toEqual(ndjson(batches))
      expect(bytes.length).toBeLessThan(ndjson(batches).length / 10)
      expect(world.gateway.asked[0]?.headers).toMatchObject({ 'content-type': 'application/gzip' })
      expect(world.gateway.asked[0]?.headers['content-encoding']).toBeUndefined()
    })

    test('a shipment over many hours keeps few of them open, and stores all', async () => {
      const hours = Array.from({ length: 30 }, (_, hour) => at(new Date(Date.UTC(2026, 10, 20, hour)).toISOString(), 'clicksBlocked', [`{"id":"${hour}"}`]))
      let stored = 0
      function* counting(): Generator<Batch> {
        yield* hours
        stored = world.gateway.asked.length
      }
      await shipAll(world.sink(), counting())
      expect(stored).toBeGreaterThan(15)
      expect(await world.lines()).toHaveLength(30)
      expect(await keys()).toHaveLength(30)
    })

    test('a large one goes in equal parts, with little of it in memory', async () => {
      const { batches } = batchesOf('a', 400, 10, 20_000)
      const rounds = 10
      const held = (): number => {
        collectGarbage()
        return process.memoryUsage().arrayBuffers
      }
      const before = held()
      let most = 0
      function* many(): Generator<Batch> {
        for (let round = 0; round < rounds; round++) {
          for (const [index, batch] of batches.entries()) {
            if (index % 20 === 0) most = Math.max(most, held() - before)
            yield batch
          }
        }
      }
      // Not through the gateway, which remembers what it gets.
      await shipAll(world.sink({ endpoint: server.url, ca: null }), many())
      const bytes = ndjson(batches).length * rounds
      expect(bytes).toBeGreaterThan(9 * PART)
      expect((await world.objects()).map(({ size }) => size)).toEqual([bytes])
      expect(await world.uploads()).toEqual([])
      expect(most).toBeLessThan(3 * PART)
    })

    test('the parts of a large one', async () => {
      const { batches } = large
      const sink = world.sink()
      await shipAll(sink, batches)
      const [key = ''] = await keys()
      expect((await world.get(key)).equals(ndjson(batches))).toBe(true)
      const parts = world.gateway.asked.filter(({ method }) => method === 'PUT').map(({ body }) => body.length)
      expect(parts).toEqual([PART, PART, ndjson(batches).length - 2 * PART])
    })

    test('each body is signed, and has its MD5', async () => {
      const sink = world.sink()
      await shipAll(sink, batchesOf('a', 1).batches)
      await shipAll(sink, large.batches)
      const bodies = world.gateway.asked.filter(({ method }) => method === 'PUT')
      expect(bodies).toHaveLength(4)
      for (const { headers, body } of bodies) {
        expect(headers['content-md5']).toBe(createHash('md5').update(body).digest('base64'))
        expect(headers['x-amz-content-sha256']).toBe(createHash('sha256').update(body).digest('hex'))
      }
    })
  })

  describe('what comes again', () => {
    test('takes its own place where it fits into a part, from whatever sink', async () => {
      const { batches, ids } = batchesOf('a', 50)
      world.gateway.trouble = 'dies'
      const sink = world.sink()
      await failure(sink, batches)
      expect(await keys()).toHaveLength(1)
      world.gateway.trouble = null
      await shipAll(sink, batches)
      await shipAll(world.sink(), batches)
      expect(await world.lines()).toHaveLength(ids.length)
      await shipAll(sink, batches.slice(0, 3))
      expect(await keys()).toHaveLength(2)
    })

    test('takes its own place where it is larger, from the same sink alone', async () => {
      const { batches, ids } = large
      const sink = world.sink()
      world.gateway.trouble = (asked) => (isComplete(asked) ? 'dies' : null)
      await failure(sink, batches)
      expect(await keys()).toHaveLength(1)
      world.gateway.trouble = null
      await shipAll(sink, batches)
      expect(await world.lines()).toHaveLength(ids.length)
      // Another one, which ends earlier: a replay, for instance.
      await shipAll(world.sink(), batches.slice(0, -1))
      expect((await world.objects()).map(({ size }) => size).sort((a, b) => b - a)).toEqual([ndjson(batches).length, ndjson(batches.slice(0, -1)).length])
      expect(await world.uploads()).toEqual([])
    })
  })

  describe('an upload that is given up leaves nothing', () => {
    test('where a part is refused', async () => {
      world.gateway.trouble = (asked) => (isPart(asked, 2) ? errorDocument(503, 'SlowDown') : null)
      await failure(world.sink(), large.batches)
      expect(world.gateway.asked.map(({ method }) => method)).toEqual(['POST', 'PUT', 'PUT', 'DELETE'])
      expect(await world.uploads()).toEqual([])
      expect(await keys()).toEqual([])
    })

    // Begin, three parts, complete: each of them is under way once, and the last one may be done.
    test.each([1, 2, 3, 4, 5])('where it is aborted during its request %i', async (which) => {
      const abort = new AbortController()
      let count = 0
      world.gateway.trouble = () => {
        if (++count === which) abort.abort(new Error('given up'))
        return null
      }
      // On a busy machine nothing is cut off either.
      const clock = new HurriedClock()
      clock.speed = 1 / 20
      const sink = world.sink({}, { clock })
      await expect(shipAll(sink, large.batches, abort.signal)).rejects.toThrow('given up')
      expect(count).toBeGreaterThanOrEqual(which)
      // What the gateway has passed on is done by then.
      await vi.waitFor(() => expect(world.gateway.openConnections).toBe(0), 10_000)
      expect(await world.uploads()).toEqual([])
    })

    test('where S3 was away then: behind the next shipment', async () => {
      world.gateway.trouble = (asked) => {
        if (isPart(asked, 2)) void world.gateway.stop()
        return null
      }
      const sink = world.sink()
      await failure(sink, large.batches)
      expect(await world.uploads()).toHaveLength(1)
      world.gateway.trouble = null
      await world.gateway.start()
      await shipAll(sink, batchesOf('b', 1).batches)
      expect(await world.uploads()).toEqual([])
    })
  })

  describe('rights', () => {
    test('s3:PutObject and s3:AbortMultipartUpload below the prefix are enough, and check says so', async () => {
      await server.allow(world.bucket, 'tap/', ['s3:PutObject', 's3:AbortMultipartUpload'])
      const sink = world.sink({ credentials: WRITER })
      await sink.check(new AbortController().signal)
      expect(await world.uploads()).toEqual([])
      await shipAll(sink, batchesOf('a', 5).batches)
      await shipAll(sink, large.batches)
      expect(await keys()).toHaveLength(2)
    })

    test('without them check and shipments say what is needed', async () => {
      await server.allow(world.bucket, 'other/', ['s3:PutObject', 's3:AbortMultipartUpload'])
      const sink = world.sink({ credentials: WRITER })
      await expect(sink.check(new AbortController().signal)).rejects.toThrow(/does not allow this in bucket .*\(403 AccessDenied.*s3:PutObject and s3:AbortMultipartUpload/)
      expect((await failure(sink)).message).toMatch(/does not allow this/)
    })

    test('without s3:AbortMultipartUpload it works, and the log says once what stays', async () => {
      await server.allow(world.bucket, 'tap/', ['s3:PutObject'])
      const logged = new PassThrough()
      const sink = world.sink({ credentials: WRITER }, { log: pino({ level: 'warn' }, logged) })
      await sink.check(new AbortController().signal)
      await sink.check(new AbortController().signal)
      await shipAll(sink, batchesOf('a', 5).batches)
      const lines = String(logged.read()).trim().split('\n')
      expect(lines).toHaveLength(1)
      expect(lines[0]).toMatch(/unfinished uploads stay in bucket .*lifecycle rule/)
    })
  })

  describe('what is wrong is said, and is never a verdict on an event', () => {
    test.each([
      ['no such bucket', { bucket: 'no-such-bucket' }, /^there is no bucket no-such-bucket \(404 NoSuchBucket.*create it/],
      ['a wrong secret', { credentials: { ...WRITER, secretAccessKey: 'wrong-one' } }, /^S3 refuses the login \(403 SignatureDoesNotMatch.*check credentials/],
      ['another region', { region: 'eu-west-1' }, /is not in this region \(400 AuthorizationHeaderMalformed.*check region/],
      ['an authority that nobody trusts', { ca: null }, /tls\.ca/],
      ['nobody there', { endpoint: 'http://127.0.0.1:1' }, /^sending to http:\/\/127\.0\.0\.1:1 failed: connect ECONNREFUSED/],
    ])('%s', async (_name, over, message) => {
      const sink = world.sink(over)
      await expect(sink.check(new AbortController().signal)).rejects.toMatchObject({ name: 'RetryableError', message: expect.stringMatching(message) as string })
      const error = await failure(sink)
      expect(error).toMatchObject({ name: 'RetryableError', message: expect.stringMatching(message) as string })
      expect(error.message).not.toContain('wrong-one')
    })

    const html = { status: 502, headers: { 'content-type': 'text/html' }, body: '<html><h1>Bad gateway</h1></html>' }
    test.each<[string, Trouble, Partial<RetryableError>]>([
      ['an overload, with the time of the next try', errorDocument(503, 'SlowDown', 'Reduce your request rate', { 'retry-after': '7' }),
        { message: 'S3 takes no more for now (503 SlowDown: Reduce your request rate)', retryAfterMs: 7_000 }],
      ['a bucket elsewhere', errorDocument(301, 'PermanentRedirect', 'use the endpoint', { 'x-amz-bucket-region': 'eu-west-3' }),
        { message: expect.stringMatching(/is not in this region \(301 PermanentRedirect.*S3 says is eu-west-3$/) as string }],
      ['an id that S3 does not know', errorDocument(403, 'InvalidAccessKeyId'), { message: expect.stringMatching(/^S3 refuses the login \(403 InvalidAccessKeyId/) as string }],
      ['credentials that have run out', errorDocument(400, 'ExpiredToken'), { message: expect.stringMatching(/^S3 refuses the login \(400 ExpiredToken/) as string }],
      ['an error of S3 itself', errorDocument(500, 'InternalError'), { message: 'S3 answers 500 InternalError: InternalError it is' }],
      ['a proxy', html, { message: expect.stringMatching(/^https:\/\/localhost:\d+ answers 502: Bad gateway$/) as string }],
      ['something that is no S3', { ...html, status: 404 }, { message: expect.stringMatching(/answers 404: Bad gateway: check endpoint/) as string }],
      ['a success without an ETag', { status: 200, body: '<html>Log in first</html>' }, { message: expect.stringMatching(/lacks an ETag/) as string }],
      ['a secret that S3 repeats', errorDocument(403, 'SignatureDoesNotMatch', 'root-secret-root-secret is wrong'), { message: 'S3 refuses the login (403 SignatureDoesNotMatch: *** is wrong): check credentials' }],
    ])('%s', async (_name, trouble, expected) => {
      world.gateway.trouble = trouble
      const error = await failure(world.sink())
      expect(error).toMatchObject({ name: 'RetryableError', ...expected })
      expect(error.cause).toBeUndefined()
    })

    test.each([
      ['an upload that does not begin', isBegin, { status: 200, body: '<html>Log in first</html>' }, /lacks an upload id/],
      ['a large object whose 200 is an error', isComplete, { ...errorDocument(200, 'InternalError') }, /InternalError/],
      ['an upload that somebody else has ended', isComplete, errorDocument(404, 'NoSuchUpload'), /lifecycle rule/],
    ])('%s', async (_name, where, told, message) => {
      world.gateway.trouble = (asked) => (where(asked) ? told : null)
      expect(await failure(world.sink(), large.batches)).toMatchObject({ name: 'RetryableError', message: expect.stringMatching(message) as string })
      expect(await keys()).toEqual([])
      expect(await world.uploads()).toEqual([])
    })

    test('a clock that is wrong, and the time of S3 is taken from then on', async () => {
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
      const sink = world.sink()
      expect((await failure(sink)).message).toMatch(/^the clock of this machine is too far from that of S3 \(403 RequestTimeTooSkewed/)
      await shipAll(sink, batchesOf('a', 1).batches)
      vi.useRealTimers()
      expect(await keys()).toHaveLength(1)
    })

    test('an answer that does not come in time', async () => {
      world.gateway.trouble = 'stalls'
      expect((await failure(world.sink({ timeoutMs: 50 }))).message).toMatch(/has not answered within 0\.05 s$/)
    })
  })

  describe('without credentials of its own', () => {
    beforeEach(() => {
      for (const name of ['AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE']) vi.stubEnv(name, '/nowhere')
      vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
    })

    test('it uses what the AWS chain finds', async () => {
      await server.allow(world.bucket, 'tap/', ['s3:PutObject', 's3:AbortMultipartUpload'])
      vi.stubEnv('AWS_ACCESS_KEY_ID', WRITER.accessKeyId)
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', WRITER.secretAccessKey)
      const sink = world.sink({ credentials: null })
      await sink.check(new AbortController().signal)
      await shipAll(sink, batchesOf('a', 1).batches)
      expect(await keys()).toHaveLength(1)
    })

    test('and says where it finds none', async () => {
      expect((await failure(world.sink({ credentials: null }))).message).toMatch(/^no credentials for S3: give credentials, or check what the AWS chain looks at/)
    })
  })
})
