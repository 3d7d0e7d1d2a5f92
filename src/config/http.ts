import type { HttpConfig, HttpFormat } from '../sinks/http/config.ts'
import { templateMistake } from '../sinks/http/template.ts'
import { join, read, type Component, type Context, type Section } from './component.ts'
import { readCredentials } from './http-credentials.ts'
import { readFields, readHeaders } from './http-headers.ts'
import { masked } from './masked.ts'
import { isLeftOut, type Node } from './node.ts'
import { readTlsFiles } from './tls-files.ts'

const LOOPBACK = /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/
const FORMATS: readonly HttpFormat[] = ['ndjson', 'json_array', 'splunk_hec', 'elastic_bulk']

interface HttpValues {
  readonly url: string
  readonly format: HttpFormat
  readonly gzip: boolean
  readonly max_request_bytes: number
  readonly timeout_in_seconds: number
  readonly index: string | null
  readonly host: string | null
  readonly source: string
  readonly sourcetype: string
  readonly acknowledge: boolean
  readonly acknowledge_timeout_in_seconds: number
}

export const HTTP: Component<HttpValues> = {
  schema: {
    url: { doc: 'where events are sent, such as https://splunk.example.com:8088', format: 'tap_text', default: null, check: checkUrl },
    format: { doc: `how events are sent, ${FORMATS.join(', ')}`, format: 'tap_choice', options: FORMATS, default: null },
    gzip: { doc: 'true compresses requests with gzip', format: 'tap_yes_or_no', default: false },
    max_request_bytes: {
      doc: 'how many bytes a request holds at most, before compression; a larger event goes alone',
      format: 'tap_whole_number',
      min: 1,
      max: 100_000_000,
      default: 1_000_000,
    },
    timeout_in_seconds: { doc: 'how many seconds one request may take, to the end of its answer', format: 'tap_whole_number', min: 1, max: 3600, default: 120 },
    index: { doc: 'the index for the events. {service}, {input} and %Y %m %d %H of the pull are put in. Left out: with elastic_bulk proofpoint-tap-{service}, with splunk_hec the one of the token', format: 'tap_text', default: null, nullable: true, check: templateMistake },
    host: { doc: 'with splunk_hec: the host that stands beside each event; left out: this machine', format: 'tap_text', default: null, nullable: true },
    source: { doc: 'with splunk_hec: the source that stands beside each event; {service}, {input} and %Y %m %d %H are put in', format: 'tap_text', default: '{input}/{service}', check: templateMistake },
    sourcetype: { doc: 'with splunk_hec: the sourcetype that stands beside each event; {service}, {input} and %Y %m %d %H are put in', format: 'tap_text', default: 'proofpoint:tap:{service}', check: templateMistake },
    acknowledge: { doc: 'with splunk_hec: true waits until the indexers acknowledge, which the token must allow; false trusts the memory of Splunk', format: 'tap_yes_or_no', default: false },
    acknowledge_timeout_in_seconds: {
      doc: 'with acknowledge: how many seconds the acknowledgement of a shipment may take',
      format: 'tap_whole_number',
      min: 1,
      max: 3600,
      default: 120,
    },
  },
  parts: ['headers', 'credentials', 'tls', 'fields'],
}

/** Keys that only some formats know. */
const ONLY_OF: readonly (readonly [formats: readonly HttpFormat[], keys: readonly string[]])[] = [
  [['splunk_hec', 'elastic_bulk'], ['index']],
  [['splunk_hec'], ['host', 'source', 'sourcetype', 'fields', 'acknowledge', 'acknowledge_timeout_in_seconds']],
]

/** Reads `config` of an output and, where wanted, looks at the files of its TLS. */
export function readHttp(node: Node | undefined, path: string, context: Context): HttpConfig {
  const section = read(HTTP, node, path, context)
  const { values } = section
  const { format } = values
  const authorization = readCredentials(section.part('credentials'), join(path, 'credentials'), format, context)
  const headers = readHeaders(section.part('headers'), join(path, 'headers'), authorization !== null, context)
  if (section.given('format')) checkKeys(node, format, path, context)
  if (section.given('url')) warnOfPlainText(section, authorization !== null, path, context)
  return masked(
    {
      url: values.url,
      format,
      headers,
      authorization,
      ...readTlsFiles(section.part('tls'), join(path, 'tls'), context),
      gzip: values.gzip,
      maxRequestBytes: values.max_request_bytes,
      timeoutMs: values.timeout_in_seconds * 1000,
      index: values.index,
      splunk: {
        host: values.host,
        source: values.source,
        sourcetype: values.sourcetype,
        fields: readFields(section.part('fields'), join(path, 'fields'), context),
        acknowledgeTimeoutMs: values.acknowledge ? values.acknowledge_timeout_in_seconds * 1000 : null,
      },
    },
    ['headers', 'authorization'],
  )
}

function checkKeys(node: Node | undefined, format: HttpFormat, path: string, { report }: Context): void {
  if (node?.kind !== 'map') return
  for (const [formats, keys] of ONLY_OF) {
    if (formats.includes(format)) continue
    for (const key of keys) {
      if (!isLeftOut(node.entries.get(key))) report.problem(join(path, key), `belongs to format: ${formats.join(' or ')}; with ${format} it says nothing`)
    }
  }
}

function warnOfPlainText({ values }: Section<HttpValues>, hasLogin: boolean, path: string, { report }: Context): void {
  const { protocol, hostname } = new URL(values.url)
  if (protocol === 'https:' || LOOPBACK.test(hostname)) return
  report.warning(join(path, 'url'), `without https ${hasLogin ? 'events and credentials' : 'events'} may be read on the way`)
}

function checkUrl(text: string): string | null {
  const expected = 'must be an address such as https://splunk.example.com:8088'
  if (!URL.canParse(text)) return expected
  const { protocol, username, password, hash } = new URL(text)
  if (protocol !== 'https:' && protocol !== 'http:') return expected
  if (username !== '' || password !== '') return 'must hold no user and no password; they belong to credentials'
  return hash === '' ? null : 'must hold no # and nothing behind it'
}
