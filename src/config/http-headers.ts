import { join, readScalar, type Context } from './component.ts'
import { isLeftOut, show, type Node } from './node.ts'

const NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
/** What the request itself says. */
const RESERVED = new Set([
  'connection', 'content-encoding', 'content-length', 'expect', 'host', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade',
  'x-splunk-request-channel',
])
/** What the output itself gives each event in Splunk. */
const OWN_FIELDS = new Set(['input', 'service', 'fingerprint'])

/** Headers of the user's own. */
export function readHeaders(node: Node | undefined, path: string, hasCredentials: boolean, context: Context): Readonly<Record<string, string>> {
  return readTexts(node, path, context, (name, value) => {
    const lower = name.toLowerCase()
    if (RESERVED.has(lower)) return `${lower} is set by the request itself and cannot be given`
    if (hasCredentials && lower === 'authorization') return 'authorization comes from credentials; give only one of them'
    if (!NAME.test(name)) return 'has a name that no header can have'
    return VALUE.test(value) ? null : 'has a value that no header can have: it must be one line, of Latin letters'
  })
}

/** Indexed fields that stand beside each event in Splunk. */
export function readFields(node: Node | undefined, path: string, context: Context): Readonly<Record<string, string>> {
  return readTexts(node, path, context, (name) => (OWN_FIELDS.has(name) ? `${name} is set by the output itself` : null))
}

/** A mapping of names to texts. `findWrong` completes a sentence about an entry, or is null. */
function readTexts(
  node: Node | undefined,
  path: string,
  context: Context,
  findWrong: (name: string, value: string) => string | null,
): Readonly<Record<string, string>> {
  const { report } = context
  if (isLeftOut(node)) return {}
  if (node.kind !== 'map') {
    report.problem(path, 'must be a mapping of names to texts', show(node))
    return {}
  }
  const texts: [string, string][] = []
  for (const [name, entry] of node.entries) {
    // Below a secret a name may be a piece of a value that was not quoted.
    const at = node.secret ? path : join(path, name)
    if (isLeftOut(entry) || entry.kind !== 'scalar') {
      report.problem(at, 'must give each name one text; a value with a comma, a colon or a # must be quoted')
      continue
    }
    const scalar = readScalar(entry, at, context)
    if (scalar === null) continue
    const wrong = findWrong(name, scalar.text)
    if (wrong !== null) report.problem(at, wrong)
    texts.push([name, scalar.text])
  }
  return Object.fromEntries(texts)
}
