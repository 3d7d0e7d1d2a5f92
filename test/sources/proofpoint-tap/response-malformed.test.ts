import { once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import { FingerprintTable } from '../../../src/sources/proofpoint-tap/fingerprints.ts'
import { MalformedResponseError, readResponse } from '../../../src/sources/proofpoint-tap/response.ts'
import { HOUR, linesOf, pullOf, read } from './response-support.ts'

const bytewise = (text: string): Uint8Array[] => [...Buffer.from(text)].map((byte) => Uint8Array.of(byte))

describe('a body that is not the promised response', () => {
  it.each([
    ['an empty body', '', /the body is empty/],
    ['a blank body', ' \r\n\t', /the body is empty/],
    ['a web page', '\n<!DOCTYPE html><html>\u001b[31mGateway\u007f', /web page or XML .* begins with "<!DOCTYPE html><html>\\u001b\[31mGateway\\u007f"/],
    ['plain text', 'The requested interval is too short', /not valid JSON .* begins with "The requested interval is too short"/],
    ['a missing array', '{"clicksBlocked":[{"n":1}]}', /no array "a"; it has "clicksBlocked"/],
    ['an object in its place', '{"a":{}}', /an object in place of the array "a"/],
    ['an error object', '{"error":"internal"}', /no array "a"; it has "error"/],
    ['an array at the top', '[{"n":1}]', /an array instead of an object/],
    ['an end before the array', '{"a":', /cut off/],
    ['an end inside the array', '{"a":[{"n":1},', /cut off.*behind 1 events/],
    ['an end inside an event', '{"a":[{"n":1},{"n":', /cut off/],
    ['an end inside an event, in a string', '{"a":[{"n":1},{"n":"x\\', /cut off/],
    ['an end behind the array', '{"a":[{"n":1}]', /cut off/],
    ['an event that never closes', '{"a":[{"n":{"m":1},{"n":2}]}', /not valid JSON/],
    ['a string that never closes', '{"a":[{"n":"1},{"n":2}]}', /not valid JSON|cut off/],
    ['events without a comma', '{"a":[{"n":1} {"n":2}]}', /not valid JSON/],
    ['a comma too many', '{"a":[{"n":1},]}', /not valid JSON/],
    ['a bracket too many', '{"a":[{"n":1}}]}', /not valid JSON/],
    ['bytes behind the end', '{"a":[{"n":1}]}}', /not valid JSON/],
    ['a second response', '{"a":[{"n":1}]}{"a":[{"n":2}]}', /not valid JSON/],
    ['the wrong encoding', Buffer.from('{"a":[]}', 'utf16le').toString('latin1'), /not valid JSON/],
    ['hostile nesting', `{"x":{"y":${'['.repeat(100_000)}`, /deeper than 64 levels/],
    ['hostile nesting in an array nobody wants', `{"x":[${'['.repeat(100_000)}`, /cut off/],
    ['a huge member', `{"x":"${'y'.repeat(2_000_000)}","a":[]}`, /more than 1 MiB outside its arrays/],
  ])('%s is refused, yields nothing, and leaves nothing remembered', async (_, text, message) => {
    for (const pieces of text.length < 1000 ? [[text], bytewise(text)] : [[text]]) {
      const seen = new FingerprintTable()
      const error: unknown = await read(pieces, { seen }).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(MalformedResponseError)
      expect(error).toBeInstanceOf(RetryableError)
      // How much of the body a message shows depends on how much of it had come.
      if (pieces.length === 1) expect((error as Error).message).toMatch(message)
      expect((error as Error).message).toMatch(/^[\x20-\x7e]{1,600}$/)
      expect(seen.size).toBe(0)
    }
  })

  it('may have yielded full parts, which stay remembered; the rest comes with the next response', async () => {
    const events = Array.from({ length: 15_000 }, (_, n) => `{"n":${n}}`)
    const seen = new FingerprintTable()
    const parts = readResponse(Readable.from([Buffer.from(`{"a":[${events.join(',')}`)]), { arrays: new Map([['a', { pull: pullOf('a'), seen }]]), window: HOUR, now: Date.now })
    const first = await parts.next()
    if (first.done === true) throw new Error('no part came')
    await expect(parts.next()).rejects.toThrow('cut off')
    expect(seen.size).toBe(first.value.events)
    const rest = await read([`{"a":[${events.join(',')}]}`], { seen })
    expect([...linesOf([first.value]), ...rest.lines()]).toEqual(events)
  })

  it('destroys the body', async () => {
    const source = new PassThrough()
    source.write('{"a":7')
    source.write('}')
    await expect(read(source)).rejects.toThrow(MalformedResponseError)
    expect(source.destroyed).toBe(true)
  })
})

describe('a body that fails', () => {
  it('surfaces its own error and leaves nothing remembered', async () => {
    const seen = new FingerprintTable()
    const source = new PassThrough()
    source.write('{"a":[{"n":1},')
    const reading = read(source, { seen })
    source.destroy(new Error('socket hang up'))
    await expect(reading).rejects.toThrow('socket hang up')
    expect(seen.size).toBe(0)
  })

  it('surfaces an abort', async () => {
    const controller = new AbortController()
    const source = new PassThrough({ signal: controller.signal })
    source.write('{"a":[{"n":1},')
    const reading = read(source)
    controller.abort(new Error('shutting down'))
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('is destroyed by a reader that leaves, and what was not handed out is forgotten', async () => {
    const seen = new FingerprintTable()
    const source = new PassThrough()
    source.write(`{"a":[${Array.from({ length: 10_500 }, (_, n) => `{"n":${n}}`).join(',')}`)
    for await (const part of readResponse(source, { arrays: new Map([['a', { pull: pullOf('a'), seen }]]), window: HOUR, now: Date.now })) {
      expect(part.events).toBe(10_000)
      break
    }
    if (!source.closed) await once(source, 'close')
    expect(source.destroyed).toBe(true)
    expect(seen.size).toBe(10_000)
  })

  it('of something else than bytes is a bug and says so', async () => {
    await expect(read(Readable.from([{ a: [] }]))).rejects.toThrow('must be a stream of bytes')
  })
})
