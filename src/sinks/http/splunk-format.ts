import { randomUUID } from 'node:crypto'
import { Backoff } from '../../pipeline/backoff.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import { FINGERPRINT_BYTES } from '../../pipeline/event.ts'
import type { HttpConfig } from './config.ts'
import { itSaid, jsonOf, objectOf, statusError } from './answer-errors.ts'
import type { Answer, Format, Post } from './format.ts'
import { refusedRequest } from './json-format.ts'
import { fillTemplate } from './template.ts'

const COLLECTOR = '/services/collector'
const FIRST_POLL_MS = 200
const LONGEST_POLL_MS = 5_000

/** Codes in the body of a 400 that speak of an event. */
const ABOUT_AN_EVENT = new Set([6, 12, 13, 15])
const NO_DATA = 5
/** Those that no event can help, and what to do. */
const ABOUT_THE_REQUEST: Readonly<Record<number, string>> = {
  7: 'check index, and which indexes the token allows',
  10: 'the token asks for acknowledgement: set acknowledge: true',
  11: 'it does not take the channel of the request',
  14: 'the token has no acknowledgement: switch it on there, or set acknowledge: false',
}

interface SplunkSettings {
  readonly hostName: string
  readonly clock: Clock
  readonly secrets: readonly string[]
}

/**
 * Splunk's HTTP Event Collector. Code 0 promises that the events are taken; with acknowledgement a shipment is delivered only when each of its
 * requests was acknowledged, that is indexed. Each shipment has a channel of its own: a collector that starts anew gives ids out again from 0, and
 * on a channel in use the acknowledgement of another shipment's request would pass for ours.
 */
export function splunkFormat({ url, index, splunk }: HttpConfig, { hostName, clock, secrets }: SplunkSettings): Format {
  const { host, source, sourcetype, fields, acknowledgeTimeoutMs } = splunk
  const acknowledges = acknowledgeTimeoutMs !== null
  const eventUrl = collectorUrl(url)
  const ackUrl = besideEvents(eventUrl, 'ack')
  const channel: Readonly<Record<string, string>> = acknowledges ? { 'x-splunk-request-channel': randomUUID() } : {}
  const headers = { 'content-type': 'application/json', ...channel }
  const pending = new Set<number>()
  return {
    url: eventUrl,
    headers,
    open: '',
    joint: '\n',
    close: '',
    after: '}',
    empty: '',
    before(batch) {
      const { inputId, service, pulledAt, fingerprints } = batch
      const envelope = JSON.stringify({
        time: pulledAt / 1000,
        host: host ?? hostName,
        source: fillTemplate(source, batch),
        sourcetype: fillTemplate(sourcetype, batch),
        ...(index !== null && { index: fillTemplate(index, batch) }),
        fields: { ...fields, input: inputId, service, fingerprint: '' },
      }).slice(0, -'"}}'.length)
      const bytes = Buffer.from(fingerprints.buffer, fingerprints.byteOffset, fingerprints.byteLength)
      return (event) => `${envelope}${bytes.toString('hex', event * FINGERPRINT_BYTES, (event + 1) * FINGERPRINT_BYTES)}"},"event":`
    },
    taken(answer) {
      const body = jsonOf(answer)
      if (body?.code !== 0) throw new RetryableError(`the destination does not answer as Splunk's collector does, with code 0: check url${itSaid(answer, secrets)}`, { code: 'HttpAnswerUnexpected' })
      if (acknowledges) {
        const { ackId } = body
        if (typeof ackId !== 'number') throw new RetryableError('the destination gives no ackId: switch acknowledgement on for the token, or set acknowledge: false', { code: 'HttpNotAcknowledged' })
        if (pending.has(ackId)) throw new RetryableError('the destination gave the same ackId twice: it has started anew and lost what it had not indexed', { code: 'HttpNotAcknowledged' })
        pending.add(ackId)
      }
      return []
    },
    refused(answer) {
      const body = jsonOf(answer)
      const code = body?.code
      if (typeof code === 'number' && !ABOUT_AN_EVENT.has(code)) throw requestError(answer, code, secrets)
      const named = body?.['invalid-event-number']
      return { ...refusedRequest(answer, secrets), index: typeof named === 'number' ? named : null }
    },
    async confirm(post, signal) {
      if (acknowledgeTimeoutMs === null || pending.size === 0) return
      const until = clock.monotonic() + acknowledgeTimeoutMs
      const waits = new Backoff(FIRST_POLL_MS, LONGEST_POLL_MS)
      while (!(await takeAcknowledged(post))) {
        const left = until - clock.monotonic()
        if (left <= 0) {
          throw new RetryableError(
            `the destination has not acknowledged ${pending.size} requests within ${acknowledgeTimeoutMs / 1000} s; ` +
            'behind a load balancer each client must stay with one of the collectors',
            { code: 'HttpNotAcknowledged' },
          )
        }
        await clock.sleep(Math.min(waits.next(), left), signal)
      }
    },
    async check(answer, post) {
      if (answer.status === 400) {
        const code = jsonOf(answer)?.code
        if (code !== NO_DATA) throw typeof code === 'number' ? requestError(answer, code, secrets) : notSplunk(answer)
      }
      if (acknowledges) await askFor(post, [0])
    },
  }

  /** Takes what is acknowledged out of `pending`; true when nothing is left. An id is told once: it is forgotten there as soon as it was said. */
  async function takeAcknowledged(post: Post): Promise<boolean> {
    const acks = await askFor(post, [...pending])
    for (const id of [...pending]) if (acks[String(id)] === true) pending.delete(id)
    return pending.size === 0
  }

  async function askFor(post: Post, ids: readonly number[]): Promise<Readonly<Record<string, unknown>>> {
    const answer = await post(ackUrl, headers, JSON.stringify({ acks: ids }))
    if (answer.status === 400) throw requestError(answer, jsonOf(answer)?.code, secrets)
    if (answer.status !== 200) throw statusError(answer, secrets)
    const acks = objectOf(jsonOf(answer)?.acks)
    if (acks === null) throw notSplunk(answer)
    return acks
  }

  function notSplunk(answer: Answer): RetryableError {
    return new RetryableError(`the destination does not answer as Splunk's collector does: check url${itSaid(answer, secrets)}`, { code: 'HttpAnswerUnexpected' })
  }
}

function requestError(answer: Answer, code: unknown, secrets: readonly string[]): RetryableError {
  const advice = typeof code === 'number' ? ABOUT_THE_REQUEST[code] : undefined
  return new RetryableError(`the destination refuses the request (${answer.status})${advice === undefined ? '' : `; ${advice}`}${itSaid(answer, secrets)}`, { code: 'HttpRequestRefused' })
}

function collectorUrl(text: string): URL {
  const url = new URL(text)
  if (!url.pathname.includes(COLLECTOR)) url.pathname = `${url.pathname.replace(/\/+$/, '')}${COLLECTOR}/event`
  return url
}

function besideEvents(eventUrl: URL, name: string): URL {
  const url = new URL(eventUrl)
  const { pathname } = url
  url.pathname = `${pathname.slice(0, pathname.indexOf(COLLECTOR))}${COLLECTOR}/${name}`
  return url
}
