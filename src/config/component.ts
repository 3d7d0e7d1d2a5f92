import convict from 'convict'
import { formats, type LiveProperty, type Property } from './formats.ts'
import { isLeftOut, show, showText, type MapNode, type Node, type ScalarNode } from './node.ts'
import { isSlip, nearest } from './nearest.ts'
import { oldKeyAdvice, type OldKeys } from './old-keys.ts'
import type { Report } from './report.ts'
import { substitute, type Surroundings } from './substitute.ts'

/** What every reader of a piece of the configuration is given. */
export interface Context extends Surroundings {
  readonly report: Report
  /** Epoch milliseconds. */
  readonly now: number
  readonly checkCertificates: boolean
}

/** One kind of mapping: a convict schema of its plain values, used once for every entry of that kind. */
export interface Component<T extends object> {
  readonly schema: Readonly<{ [K in keyof T]-?: Property<Exclude<T[K], null>> }>
  /** Keys that hold mappings or lists; others read them. */
  readonly parts?: readonly string[]
  /** Other names that the old collector takes for a key of the schema. */
  readonly aliases?: Readonly<Record<string, string>>
  readonly old?: OldKeys
}

export interface Section<T> {
  /** With defaults in place of what is wrong. */
  readonly values: T
  /** The key was given, and what was given is right. */
  given(key: keyof T & string): boolean
  /** The value came from the environment or from a file. */
  foreign(key: keyof T & string): boolean
  /** The value as a problem may show it. */
  shown(key: keyof T & string): string | undefined
  part(key: string): Node | undefined
}

/** A value that was read: with `${...}` put in, or null where that failed or a placeholder was left in (both reported). */
export interface ReadScalar {
  readonly value: string | number | boolean
  readonly text: string
  /** As a problem may show it. */
  readonly shown: string | undefined
  readonly foreign: boolean
}

// convict's register of formats is one for all; only named formats are safe from its own conversions (`443x` would become 443).
convict.addFormats(formats)

const PLACEHOLDER = /<[A-Za-z][^<>]*>/
/** Only as the whole: a password may well hold such characters. */
const WHOLE_PLACEHOLDER = /^\s*<[A-Za-z][^<>]*>\s*$/

/** Reads the mapping at `path` (`''` is the file itself). A mapping that was left out counts as empty. */
export function read<T extends object>(component: Component<T>, node: Node | undefined, path: string, context: Context): Section<T> {
  const { report } = context
  const map = isLeftOut(node) ? undefined : node
  if (map !== undefined && map.kind !== 'map') report.problem(path, 'must be a mapping of keys to values', show(map))
  const entries = map?.kind === 'map' ? knownEntries(component, map, path, report) : new Map<string, Node>()

  const given = new Map<string, ReadValue>()
  const bad = new Set<string>()
  for (const [key, property] of Object.entries<Property<unknown>>(component.schema)) {
    const value = entries.get(key)
    if (isLeftOut(value)) continue
    const found = readValue(value, property, join(path, key), context)
    if (found !== null) given.set(key, found)
  }
  const reject = (key: string, wrong: string) => {
    const at = join(path, key)
    if (given.has(key) || !report.isExplained(at)) report.problem(at, wrong, given.get(key)?.shown)
    bad.add(key)
  }
  // What is no mapping was reported as a whole; that it holds no required key goes without saying.
  const values = settle(component, given, map === undefined || map.kind === 'map' ? reject : () => undefined)
  return {
    // convict filled it by the schema, and the schema has exactly the keys of T.
    values: values as T,
    given: (key) => given.has(key) && !bad.has(key),
    foreign: (key) => given.get(key)?.foreign ?? false,
    shown: (key) => given.get(key)?.shown,
    part: (key) => entries.get(key),
  }
}

/** Reads one plain value; null where there is none to use, which is reported. */
export function readScalar(node: ScalarNode, path: string, { report, ...surroundings }: Context): ReadScalar | null {
  const { text, secret } = node
  if (typeof node.value !== 'string') return { value: node.value ?? '', text, shown: show(node), foreign: false }
  if (secret ? WHOLE_PLACEHOLDER.test(text) : PLACEHOLDER.test(text)) {
    report.problem(path, 'is still a placeholder of the example; put your own value in its place', show(node))
    return null
  }
  const result = substitute(text, surroundings)
  if ('wrong' in result) {
    report.problem(path, result.wrong)
    return null
  }
  if (result.foreign || secret) report.hide(result.text)
  return {
    value: result.text,
    text: result.text,
    shown: result.foreign || secret ? undefined : showText(result.text),
    foreign: result.foreign,
  }
}

/** The entries of a mapping whose keys are names of the user's own. */
export function namedEntries(node: Node | undefined, path: string, { report }: Context): readonly (readonly [name: string, node: Node])[] {
  if (isLeftOut(node)) return []
  if (node.kind !== 'map') {
    report.problem(path, 'must be a mapping, with a name of your own for each entry', show(node))
    return []
  }
  for (const name of node.entries.keys()) {
    if (PLACEHOLDER.test(name))
      report.problem(join(path, name), 'its name is still a placeholder of the example; put your own name in its place')
  }
  // A name with nothing behind it is an entry all the same, and lacks what every entry needs.
  return [...node.entries].map(([name, entry]) => [name, isLeftOut(entry) ? { kind: 'map', entries: new Map(), secret: false } : entry])
}

/** True where an entry says `enabled: false`; then only the names of its keys are looked at. */
export function isSwitchedOff<T extends object>(component: Component<T>, node: Node, path: string, context: Context): boolean {
  if (node.kind !== 'map') return false
  const enabled = node.entries.get('enabled')
  if (enabled?.kind !== 'scalar') return false
  const value = readScalar(enabled, join(path, 'enabled'), context)
  if (value === null || asBoolean(value) !== false) return false
  knownEntries(component, node, path, context.report)
  return true
}

export function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

/** Sorts the keys: known, of the old collector (a warning), unknown (an error with the nearest known name). */
function knownEntries<T extends object>(component: Component<T>, map: MapNode, path: string, report: Report): Map<string, Node> {
  const known = [...Object.keys(component.schema), ...(component.parts ?? [])]
  const entries = new Map<string, Node>()
  const aliased = new Map<string, readonly [alias: string, node: Node]>()
  for (const [key, node] of map.entries) {
    const alias = component.aliases !== undefined && Object.hasOwn(component.aliases, key) ? component.aliases[key] : undefined
    if (known.includes(key)) entries.set(key, node)
    else if (alias !== undefined) aliased.set(alias, [key, node])
    else {
      const advice = oldKeyAdvice(component.old, key, () => isSlip(key, known))
      if (advice !== null) report.warning(join(path, key), advice)
      else reportUnknown(key, known, map.secret, path, report)
    }
  }
  for (const [key, [alias, node]] of aliased) {
    report.warning(
      join(path, alias),
      `is the old name of ${key}${entries.has(key) ? `, which is given too; ${key} counts` : '; it is taken as such'}`,
    )
    if (!entries.has(key)) entries.set(key, node)
  }
  return entries
}

function reportUnknown(key: string, known: readonly string[], secret: boolean, path: string, report: Report): void {
  const near = nearest(key, known)
  const choice = near !== null ? `did you mean ${near}?` : known.length > 0 ? `known here: ${known.join(', ')}` : 'no key is known here'
  // Below a secret a key may be a piece of a password that was not quoted; only what nearly is a known key is certainly none.
  if (!secret || isSlip(key, known)) report.problem(join(path, key), `is not a known key; ${choice}`)
  else
    report.problem(
      path,
      `has a key that is not known (${choice}); ` +
        'a value with a comma, a colon or a # must be quoted, and a space belongs behind the colon of a key',
    )
  if (near !== null) report.excuse(join(path, near))
}

interface ReadValue {
  readonly value: unknown
  readonly shown: string | undefined
  readonly foreign: boolean
}

function readValue(node: Node, property: Property<unknown>, path: string, context: Context): ReadValue | null {
  if (node.kind === 'map') {
    // convict would take a mapping apart; an empty list is of the wrong kind for every format but a list, which says what is expected.
    return { value: property.format === 'tap_choices' ? '' : [], shown: show(node), foreign: false }
  }
  if (node.kind === 'list') {
    const items = node.items.map((item, index) => {
      const at = `${path}[${index}]`
      return item.kind === 'scalar' ? readScalar(item, at, context) : { text: '', shown: show(item), foreign: false }
    })
    if (items.includes(null)) return null
    const read = items.filter((item) => item !== null)
    const shown = read.map((item) => item.shown)
    return {
      value: read.map((item) => item.text),
      shown: node.secret || shown.includes(undefined) ? undefined : `[${shown.join(', ')}]`,
      foreign: read.some((item) => item.foreign),
    }
  }
  const scalar = readScalar(node, path, context)
  return scalar === null ? null : { value: asFormat(scalar, property), shown: scalar.shown, foreign: scalar.foreign }
}

/** Text of the environment becomes a number or a boolean where one is expected; numbers become the text that they were written as. */
function asFormat(scalar: ReadScalar, { format }: Property<unknown>): unknown {
  if (format === 'tap_text' || format === 'tap_choice') return scalar.text
  if (format === 'tap_whole_number')
    return typeof scalar.value === 'string' && /^[-+]?\d{1,15}$/.test(scalar.text) ? Number(scalar.text) : scalar.value
  if (format === 'tap_yes_or_no') return asBoolean(scalar) ?? scalar.value
  return scalar.value
}

function asBoolean({ value, text }: ReadScalar): boolean | null {
  if (typeof value === 'boolean') return value
  if (/^(?:true|yes|on)$/i.test(text)) return true
  return /^(?:false|no|off)$/i.test(text) ? false : null
}

/** One convict instance: it puts the defaults in and runs every format. */
function settle<T extends object>(
  component: Component<T>,
  given: ReadonlyMap<string, ReadValue>,
  reject: (key: string, wrong: string) => void,
): unknown {
  const wrong = new Set<string>()
  const schema = Object.fromEntries(
    Object.entries<Property<unknown>>(component.schema).map(([key, property]): [string, LiveProperty] => [
      key,
      {
        ...property,
        reject(message) {
          wrong.add(key)
          reject(key, message)
        },
      },
    ]),
  )
  const config = convict<Record<string, unknown>>(schema, { env: {}, args: [] })
  config.load(Object.fromEntries([...given].map(([key, { value }]) => [key, value])))
  try {
    config.validate({ allowed: 'strict' })
  } catch (error) {
    // What is wrong has gone to `reject` by then; convict's own text shows values and is not used.
    if (wrong.size === 0) throw error
  }
  const values = config.getProperties()
  for (const key of wrong) values[key] = schema[key]?.default ?? null
  return values
}
