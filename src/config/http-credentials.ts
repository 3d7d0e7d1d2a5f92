import type { HttpFormat } from '../sinks/http/config.ts'
import { join, read, type Component, type Context } from './component.ts'
import { isLeftOut, type Node } from './node.ts'

interface CredentialValues {
  readonly username: string | null
  readonly password: string | null
  readonly token: string | null
  readonly scheme: string | null
}

export const CREDENTIALS: Component<CredentialValues> = {
  schema: {
    username: {
      doc: 'the user of a Basic login; left out where there is a token',
      format: 'tap_text',
      default: null,
      nullable: true,
      sensitive: true,
      check: (text) => (text.includes(':') ? 'must not hold a colon, which ends the user in a Basic login' : null),
    },
    password: { doc: 'the password of that user, better as "${NAME}" or "${file:PATH}"', format: 'tap_text', default: null, nullable: true, sensitive: true },
    token: {
      doc: 'a token in place of username and password, sent as Bearer, to Splunk as Splunk',
      format: 'tap_text',
      default: null,
      nullable: true,
      sensitive: true,
      pattern: /^[\x21-\x7e]+$/,
      expected: 'printable ASCII without blanks',
    },
    scheme: {
      doc: 'what stands before the token, such as Bearer or ApiKey',
      format: 'tap_text',
      default: null,
      nullable: true,
      pattern: /^[A-Za-z][A-Za-z0-9-]*$/,
      expected: 'one word, such as Bearer or ApiKey',
    },
  },
}

/** `username` and `password`, or `token` with its `scheme`: the value of the Authorization header, or null where there is none. */
export function readCredentials(node: Node | undefined, path: string, format: HttpFormat, context: Context): string | null {
  const { report } = context
  if (isLeftOut(node)) return null
  const section = read(CREDENTIALS, node, path, context)
  if (node.kind !== 'map') return null
  const { username, password, token, scheme } = section.values
  const isBasic = !isLeftOut(node.entries.get('username')) || !isLeftOut(node.entries.get('password'))
  if (isBasic && !isLeftOut(node.entries.get('token'))) {
    report.problem(path, 'must hold username and password, or a token, and not both')
    return null
  }
  if (isBasic) {
    for (const key of ['username', 'password'] as const) {
      if (isLeftOut(node.entries.get(key)) && !report.isExplained(join(path, key)))
        report.problem(join(path, key), 'is missing: username and password go together')
    }
    if (!isLeftOut(node.entries.get('scheme'))) report.problem(join(path, 'scheme'), 'belongs to a token; a Basic login needs none')
    return `Basic ${Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64')}`
  }
  if (isLeftOut(node.entries.get('token'))) {
    if (!report.hasProblemBelow(path)) report.problem(path, 'must hold username and password, or a token')
    return null
  }
  return `${scheme ?? (format === 'splunk_hec' ? 'Splunk' : 'Bearer')} ${token ?? ''}`
}
