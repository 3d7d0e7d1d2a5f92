import type { RedactConfig } from '../transforms/config.ts'
import { join, read, readScalar, type Component, type Context } from './component.ts'
import { checkField, warnOfField } from './event-field.ts'
import { masked } from './masked.ts'
import { isLeftOut, show, type Node } from './node.ts'

interface RedactValues {
  readonly action: string
  readonly key: string | null
}

/** A shorter one could be found by trying. */
const SHORTEST_KEY = 16

export const REDACT: Component<RedactValues> = {
  schema: {
    action: { doc: 'what is done: remove, mask or hash', format: 'tap_choice', options: ['remove', 'mask', 'hash'], default: null },
    key: {
      doc: 'with action: hash, the key of it, at least 16 characters, better as "${NAME}" or "${file:PATH}"',
      format: 'tap_text',
      default: null,
      nullable: true,
      sensitive: true,
      check: (text) => (text.length >= SHORTEST_KEY ? null : `must have at least ${SHORTEST_KEY} characters, for a short one can be found by trying`),
    },
  },
  parts: ['fields'],
}

/** Reads `redact`: which fields, what is done to them, and the key of a hash. */
export function readRedact(node: Node | undefined, path: string, context: Context): RedactConfig {
  const { report } = context
  const key = node?.kind === 'map' ? node.entries.get('key') : undefined
  if (key?.kind === 'scalar') report.hide(key.text)
  const section = read(REDACT, node, path, context)
  const { values } = section
  const at = join(path, 'key')
  const isHash = values.action === 'hash'
  if (isHash && !section.given('key') && !report.isExplained(at)) report.problem(at, 'is missing: a hash needs a key, better as "${TAP_HASH_KEY}" or "${file:/run/secrets/hash-key}"')
  if (section.given('action') && !isHash && section.given('key')) report.problem(at, `means nothing for ${values.action}; only hash has a key`)
  // One of the three, or the configuration is not used.
  const action = values.action as RedactConfig['action']
  return masked({ fields: readFields(section.part('fields'), join(path, 'fields'), context), action, key: isHash ? values.key : null }, ['key'])
}

function readFields(node: Node | undefined, path: string, context: Context): readonly string[] {
  const { report } = context
  const list = 'a list of fields, such as [/recipient, /messageParts/*/filename]'
  if (isLeftOut(node)) {
    if (!report.isExplained(path)) report.problem(path, `is missing: ${list}`)
    return []
  }
  if (node.kind !== 'list' || node.items.length === 0) {
    report.problem(path, `must be ${list}`, node.kind === 'list' ? undefined : show(node))
    return []
  }
  return node.items.flatMap((item, index) => {
    const at = `${path}[${index}]`
    if (item.kind !== 'scalar' || item.value === null) {
      report.problem(at, 'must be a field, such as /recipient', show(item))
      return []
    }
    const scalar = readScalar(item, at, context)
    if (scalar === null) return []
    const wrong = checkField(scalar.text)
    if (wrong === null) warnOfField(scalar.text, at, context, scalar.shown)
    else report.problem(at, wrong, scalar.shown)
    return [scalar.text]
  })
}
