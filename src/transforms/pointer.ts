/** Each element of an array, or each member of an object. */
export const EACH = Symbol('*')
export type Pointer = readonly (string | typeof EACH)[]

/** A JSON pointer (RFC 6901) in which a step `*` stands for each element; null where the text is none, or names the whole event. */
export function parsePointer(text: string): Pointer | null {
  if (!text.startsWith('/') || /~(?![01])/.test(text)) return null
  return text
    .slice(1)
    .split('/')
    .map((step) => (step === '*' ? EACH : step.replaceAll('~1', '/').replaceAll('~0', '~')))
}

/** One place in the tree of all pointers of a transform. */
export class PathNode {
  readonly named: NamedStep[] = []
  each: PathNode | null = null
  /** Which pointers end here. */
  readonly targets: number[] = []
  /** Leads to everything below, at any depth, for the pointers that end here and stand for all that is in a value; leads to itself. */
  below: PathNode | null = null
}

interface NamedStep {
  readonly name: string
  /** The name as a key holds it that needs no escapes. */
  readonly bytes: Buffer
  /** What the name means in an array; -1 where it is no index. */
  readonly index: number
  readonly next: PathNode
}

const INDEX = /^(?:0|[1-9]\d{0,15})$/

/** `deep`: the pointers that end at an object or array stand for all that is in it. Throws RangeError for what `parsePointer` does not take. */
export function pathTree(pointers: readonly string[], deep: (index: number) => boolean): PathNode {
  const root = new PathNode()
  for (const [index, text] of pointers.entries()) {
    const pointer = parsePointer(text)
    if (pointer === null) throw new RangeError(`${text} is no pointer to a field`)
    const end = pointer.reduce((node, step) => (step === EACH ? eachOf(node) : stepOf(node, step)), root)
    end.targets.push(index)
    if (deep(index)) belowOf(end).targets.push(index)
  }
  return root
}

function eachOf(node: PathNode): PathNode {
  node.each ??= new PathNode()
  return node.each
}

function belowOf(node: PathNode): PathNode {
  if (node.below === null) {
    node.below = new PathNode()
    node.below.below = node.below
  }
  return node.below
}

function stepOf(node: PathNode, name: string): PathNode {
  const known = node.named.find((step) => step.name === name)
  if (known !== undefined) return known.next
  const step = { name, bytes: Buffer.from(name), index: INDEX.test(name) ? Number(name) : -1, next: new PathNode() }
  node.named.push(step)
  return step.next
}
