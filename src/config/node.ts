/** What is left of the YAML once anchors and merge keys are resolved. Scalars keep their source text. */
export type Node = ScalarNode | ListNode | MapNode

export interface ScalarNode {
  readonly kind: 'scalar'
  readonly value: string | number | boolean | null
  /** As it stands in the file, without quotes: `0123` where the value is 83. */
  readonly text: string
  /** Never to be shown: it stands below a key such as `credentials`. */
  readonly secret: boolean
}

export interface ListNode {
  readonly kind: 'list'
  readonly items: readonly Node[]
  readonly secret: boolean
}

export interface MapNode {
  readonly kind: 'map'
  readonly entries: ReadonlyMap<string, Node>
  readonly secret: boolean
}

const LONGEST_SHOWN = 80
/** `https://user:password@host`, also misspelt, and what may stand behind a question mark. */
const MAY_HOLD_LOGIN = /:.*@|:\/\/.*\?/s

/** A key given without a value counts as left out. */
export function isLeftOut(node: Node | undefined): node is undefined {
  return node === undefined || (node.kind === 'scalar' && node.value === null)
}

/** The value as a problem shows it, shortened; undefined where it may not be shown. */
export function show(node: Node): string | undefined {
  if (node.secret) return undefined
  if (node.kind === 'map') return 'a mapping'
  if (node.kind === 'list') return 'a list'
  return typeof node.value === 'string' ? showText(node.value) : showPlain(node.text)
}

/** Text in quotes, shortened; undefined where it may hold a login. */
export function showText(text: string): string | undefined {
  if (MAY_HOLD_LOGIN.test(text)) return undefined
  return JSON.stringify(shorten(text))
}

function showPlain(text: string): string {
  return text === '' ? 'nothing' : shorten(text)
}

function shorten(text: string): string {
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}...` : text
}
