import type { BatchStream, ReadRange } from '../../pipeline/buffer.ts'
import { StepStream, type BatchStep } from '../../pipeline/step-stream.ts'
import type { Page, PageRequest } from './chunks.ts'
import { cursorOf, parseCursor } from './cursor.ts'

type FetchPage = (request: PageRequest) => Promise<Page>

/**
 * The chunks of one shipment, page by page: no SQLite cursor stays open between two pages. The next page is fetched while the chunks of
 * one are handed out, so that at most two pages are in memory.
 */
export function streamChunks(fetch: FetchPage, range: ReadRange): BatchStream {
  const request = {
    from: parseCursor(range.from),
    to: range.to === undefined ? null : parseCursor(range.to),
    maxEvents: range.maxEvents,
    maxBytes: range.maxBytes,
    first: true,
  }
  return new StepStream(range.from, stepsOf(fetch, request), range.signal)
}

async function* stepsOf(fetch: FetchPage, first: PageRequest): AsyncGenerator<BatchStep, void, undefined> {
  let coming: Promise<Page> | null = fetch(first)
  while (coming !== null) {
    const page: Page = await coming
    coming = page.next === null ? null : fetch(page.next)
    // Handled where it is awaited; a stream that is destroyed before never gets there.
    coming?.catch(() => undefined)
    for (const { batch, chunk } of page.batches) yield { batch, cursor: cursorOf(chunk) }
    yield { batch: null, cursor: cursorOf(page.end) }
  }
}
