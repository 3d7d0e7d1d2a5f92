import type { S3Config, S3Credentials } from '../sinks/s3/config.ts'
import { join, read, type Component, type Context } from './component.ts'
import { masked } from './masked.ts'
import { isLeftOut, type Node } from './node.ts'
import { readTlsFiles } from './tls-files.ts'

const LOOPBACK = /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/
/** What kinds of S3 at an endpoint of their own, which have no regions, take a request to be signed for. */
const USUAL_REGION = 'us-east-1'

interface S3Values {
  readonly bucket: string
  readonly prefix: string | null
  readonly region: string | null
  readonly endpoint: string | null
  readonly gzip: boolean
  readonly timeout_in_seconds: number
}

export const S3: Component<S3Values> = {
  schema: {
    bucket: { doc: 'the bucket that objects are written to', format: 'tap_text', default: null, check: checkBucket },
    prefix: { doc: 'what the keys of objects begin with, such as tap; left out: nothing', format: 'tap_text', default: null, nullable: true, check: checkPrefix },
    region: {
      doc: 'the region of the bucket, such as eu-central-1',
      format: 'tap_text',
      default: null,
      nullable: true,
      pattern: /^[a-z0-9-]{1,63}$/,
      expected: 'the name of a region, such as eu-central-1',
    },
    endpoint: { doc: 'the address of an S3 that is not Amazon\'s, such as https://minio.example.com:9000; left out: Amazon\'s', format: 'tap_text', default: null, nullable: true, check: checkEndpoint },
    gzip: { doc: 'true compresses objects with gzip, to about a fifth', format: 'tap_yes_or_no', default: false },
    timeout_in_seconds: { doc: 'how many seconds one request, of at most 8 MiB, may take', format: 'tap_whole_number', min: 1, max: 3600, default: 120 },
  },
  parts: ['credentials', 'tls'],
}

interface CredentialValues {
  readonly access_key_id: string
  readonly secret_access_key: string
  readonly session_token: string | null
}

export const CREDENTIALS: Component<CredentialValues> = {
  schema: {
    access_key_id: { doc: 'the id of an access key', format: 'tap_text', default: null, sensitive: true, pattern: /^\w+$/, expected: 'letters, digits and underscores' },
    secret_access_key: { doc: 'the secret of that access key', format: 'tap_text', default: null, sensitive: true },
    session_token: {
      doc: 'the token of a temporary access key; left out with a lasting one',
      format: 'tap_text',
      default: null,
      nullable: true,
      sensitive: true,
      pattern: /^[\x21-\x7e]+$/,
      expected: 'printable ASCII without blanks',
    },
  },
}

/** Reads `config` of an output and, where wanted, looks at the files of its TLS. */
export function readS3(node: Node | undefined, path: string, context: Context): S3Config {
  const section = read(S3, node, path, context)
  const { values } = section
  const isLackingRegion = values.region === null && isLeftOut(node?.kind === 'map' ? node.entries.get('endpoint') : undefined)
  if (isLackingRegion && !section.given('region') && !context.report.isExplained(join(path, 'region')) && (isLeftOut(node) || node.kind === 'map'))
    context.report.problem(join(path, 'region'), `is missing: ${S3.schema.region.doc}; only with an endpoint it may be left out`)
  if (section.given('endpoint') && values.endpoint !== null) warnOfPlainText(values.endpoint, path, context)
  const prefix = values.prefix ?? ''
  return masked(
    {
      bucket: values.bucket,
      prefix: prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`,
      region: values.region ?? USUAL_REGION,
      endpoint: values.endpoint,
      credentials: readCredentials(section.part('credentials'), join(path, 'credentials'), context),
      gzip: values.gzip,
      ...readTlsFiles(section.part('tls'), join(path, 'tls'), context),
      timeoutMs: values.timeout_in_seconds * 1000,
    },
    ['credentials'],
  )
}

/** Null: the AWS chain. */
function readCredentials(node: Node | undefined, path: string, context: Context): S3Credentials | null {
  if (isLeftOut(node)) return null
  const { values } = read(CREDENTIALS, node, path, context)
  return { accessKeyId: values.access_key_id, secretAccessKey: values.secret_access_key, sessionToken: values.session_token }
}

function warnOfPlainText(endpoint: string, path: string, { report }: Context): void {
  const { protocol, hostname } = new URL(endpoint)
  if (protocol !== 'https:' && !LOOPBACK.test(hostname)) report.warning(join(path, 'endpoint'), 'without https events may be read on the way')
}

function checkBucket(text: string): string | null {
  if (text.startsWith('s3:')) return 'must be the name alone, without s3:// and a path, which belongs to prefix'
  return /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(text) ? null : 'must be the name of a bucket: 3 to 255 letters, digits, dots and hyphens'
}

/** A key has 1024 bytes at most; what follows the prefix needs some 150. */
function checkPrefix(text: string): string | null {
  if (text.startsWith('/')) return 'must not begin with a slash, which would be a folder without a name'
  if (/(?:^|\/)\.{0,2}\//.test(text) || /(?:^|\/)\.{1,2}$/.test(text)) return 'must have a name between two slashes, and no . or .. as one'
  return /^[\w!.*'() =/-]{1,800}$/.test(text) ? null : "must be at most 800 letters, digits, blanks and characters of !-_.*'()=/"
}

function checkEndpoint(text: string): string | null {
  const expected = 'must be an address such as https://minio.example.com:9000'
  if (!URL.canParse(text)) return expected
  const { protocol, username, password, pathname, search, hash } = new URL(text)
  if (protocol !== 'https:' && protocol !== 'http:') return expected
  if (username !== '' || password !== '') return 'must hold no user and no password; they belong to credentials'
  return pathname === '/' && search === '' && hash === '' ? null : 'must hold no path; the bucket belongs to bucket, and what keys begin with to prefix'
}
