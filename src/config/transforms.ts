import { join, type Context } from './component.ts'
import { nearest } from './nearest.ts'
import { isLeftOut, show, showText, type Node } from './node.ts'
import { isTransformType, TRANSFORM_TYPES, type TransformConfig, type TransformTypeName } from './transform-types.ts'

const KNOWN = Object.keys(TRANSFORM_TYPES)
const FORM = 'must be a mapping with one key, such as filter: {keep: {field: /classification, equals: phish}}'

/** Reads `transforms` of an output: a list, in whose order they are applied. */
export function readTransforms(node: Node | undefined, path: string, context: Context): readonly TransformConfig[] {
  if (isLeftOut(node)) return []
  if (node.kind === 'list') return node.items.flatMap((item, index) => readTransform(item, `${path}[${index}]`, context))
  context.report.problem(path, 'must be a list; each entry begins with a dash', show(node))
  return []
}

function readTransform(node: Node, path: string, context: Context): readonly TransformConfig[] {
  const [first, second] = node.kind === 'map' ? [...node.entries] : []
  if (first === undefined || second !== undefined) {
    context.report.problem(path, FORM, show(node))
    return []
  }
  const [name, inside] = first
  if (isTransformType(name)) return [readConfig(name, inside, join(path, name), context)]
  const near = nearest(name, KNOWN)
  context.report.problem(path, `must be ${KNOWN.join(' or ')}${near === null ? '' : ` (did you mean ${near}?)`}`, showText(name))
  return []
}

function readConfig<K extends TransformTypeName>(type: K, node: Node, path: string, context: Context): TransformConfig<K> {
  return { type, config: TRANSFORM_TYPES[type].read(node, path, context) }
}
