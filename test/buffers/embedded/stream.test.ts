import { expect, test } from 'vitest'
import type { Page, PageRequest } from '../../../src/buffers/embedded/chunks.ts'
import { streamChunks } from '../../../src/buffers/embedded/stream.ts'
import { chunkOf, INPUT, numbered, SERVICE, settle } from '../../contract/buffer-units.ts'

/** Pages of two chunks with ten events each, without end. */
function endless() {
  const requests: PageRequest[] = []
  const fetch = async (request: PageRequest): Promise<Page> => {
    requests.push(request)
    const batches = [1, 2].map((step) => ({
      chunk: request.from + step,
      batch: { inputId: INPUT, service: SERVICE, pulledAt: 0, environment: null, ...chunkOf(numbered(0, 10)) },
    }))
    return { batches, end: request.from + 2, next: { ...request, from: request.from + 2, first: false } }
  }
  return { requests, fetch }
}

const range = { from: '0', maxEvents: 1000, maxBytes: 1_000_000, signal: new AbortController().signal }

test('reads ahead at most one page, however slow its reader is', async () => {
  const { requests, fetch } = endless()
  const stream = streamChunks(fetch, range)
  await settle()
  expect(requests.length).toBe(0)
  const batches = stream[Symbol.asyncIterator]()
  for (let taken = 1; taken <= 10; taken += 1) {
    await batches.next()
    await settle()
    // Pages begun, one more ahead, and one batch in the stream's own buffer.
    expect(requests.length).toBeLessThanOrEqual(Math.ceil((taken + 1) / 2) + 1)
  }
  await batches.return?.()
  const fetched = requests.length
  await settle()
  expect(requests.length).toBe(fetched)
})

test('a page that fails destroys the stream with its error, whether it is awaited or not', async () => {
  const { fetch } = endless()
  let pages = 0
  const stream = streamChunks((request) => ((pages += 1) < 3 ? fetch(request) : Promise.reject(new Error('the disk is gone'))), range)
  let batches = 0
  const reading = (async () => {
    for await (const _ of stream) batches += 1
  })()
  await expect(reading).rejects.toThrow('the disk is gone')
  expect(batches).toBe(4)
  const unread = streamChunks(() => Promise.reject(new Error('nobody awaits this')), range)
  unread.destroy()
  await settle()
})

test('a cursor of another buffer is refused', () => {
  const { fetch } = endless()
  for (const from of ['', 'x', '-1', '1.5', '0x10', '99999999999999999999']) expect(() => streamChunks(fetch, { ...range, from }), from).toThrow('is not a cursor')
})
