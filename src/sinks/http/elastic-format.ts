import { printable, said } from '../../https/answers.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import { FINGERPRINT_BYTES } from '../../pipeline/event.ts'
import { itSaid, jsonOf, objectOf } from './answer-errors.ts'
import type { Answer, Format, Refusal } from './format.ts'
import { fillTemplate } from './template.ts'

const DEFAULT_INDEX = 'proofpoint-tap-{service}'
const REASON_CHARACTERS = 300
/** Of a whole answer this is all that is read: 40 instead of 300 bytes an event. */
const FILTER_PATH = 'status,error.type,error.reason,errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by'

/**
 * The bulk API of Elasticsearch and OpenSearch. Every event is created under its fingerprint as `_id`: one that is there already (409) was
 * delivered before, so that nothing comes twice within an index. The answer tells each event apart.
 */
export function elasticFormat(url: string, index: string | null, secrets: readonly string[]): Format {
  return {
    url: bulkUrl(url),
    headers: { 'content-type': 'application/x-ndjson' },
    open: '',
    joint: '\n',
    close: '\n',
    after: '',
    empty: '',
    before(batch) {
      // Elasticsearch takes no capital letters in the name of an index.
      const name = JSON.stringify(fillTemplate(index ?? DEFAULT_INDEX, batch).toLowerCase())
      const fingerprints = Buffer.from(batch.fingerprints.buffer, batch.fingerprints.byteOffset, batch.fingerprints.byteLength)
      return (event) => {
        const id = fingerprints.toString('hex', event * FINGERPRINT_BYTES, (event + 1) * FINGERPRINT_BYTES)
        return `{"create":{"_index":${name},"_id":"${id}"}}\n`
      }
    },
    taken: (answer, events) => refusals(answer, events, secrets),
    refused(answer) {
      throw new RetryableError(`the destination does not understand the bulk request (${answer.status}): check url and index${itSaid(answer, secrets)}`, { code: 'HttpRequestRefused' })
    },
    confirm: async () => undefined,
    check: async () => undefined,
  }
}

function bulkUrl(text: string): URL {
  const url = new URL(text)
  if (!/\/_bulk\/?$/.test(url.pathname)) url.pathname = `${url.pathname.replace(/\/+$/, '')}/_bulk`
  if (!url.searchParams.has('filter_path')) url.searchParams.set('filter_path', FILTER_PATH)
  return url
}

function refusals(answer: Answer, events: number, secrets: readonly string[]): readonly Refusal[] {
  const body = jsonOf(answer)
  const items: unknown = body?.items
  if (!Array.isArray(items)) {
    // Nothing went wrong, and so it names none.
    if (body?.errors === false) return []
    throw new RetryableError(`the destination does not answer as the bulk API does: check url${itSaid(answer, secrets)}`, { code: 'HttpAnswerUnexpected' })
  }
  if (items.length !== events) throw new RetryableError(`the destination answers for ${items.length} events, but ${events} were sent`, { code: 'HttpAnswerUnexpected' })
  const refused: Refusal[] = []
  for (const [index, item] of items.entries()) {
    const result = objectOf(objectOf(item)?.create)
    const status = result?.status
    if (typeof status !== 'number') throw new RetryableError('the destination does not say what became of an event: its answer to the bulk request has no status there', { code: 'HttpAnswerUnexpected' })
    if (status === 409 || (status >= 200 && status < 300)) continue
    const why = printable(said(describe(result?.error), secrets), REASON_CHARACTERS)
    if (status !== 400) throw new RetryableError(`the destination does not store an event (${status}): ${why}`, { code: 'HttpEventNotStored' })
    refused.push({ index, reason: `refused (400): ${why}` })
  }
  return refused
}

/** With its causes: the error itself may say no more than `failed to parse`. */
function describe(error: unknown): string {
  const { type, reason, caused_by: cause } = objectOf(error) ?? {}
  const own = [type, reason].filter((part) => typeof part === 'string').join(': ') || JSON.stringify(error ?? 'without a reason')
  return objectOf(cause) === null ? own : `${own}: ${describe(cause)}`
}
