import { isFile } from '../plug-ins/config.ts'
import { join, readScalar, type Context } from './component.ts'
import { nearest } from './nearest.ts'
import { isLeftOut, show, showText, type Node } from './node.ts'
import { isPlugIn, type Named } from './plug-in.ts'
import { BUILT_IN_TRANSFORMS, isBuiltInTransform, TRANSFORM_TYPES, type TransformConfig, type TransformTypeName } from './transform-types.ts'

const FORM = 'must be a mapping with one key, such as filter: {keep: {field: /classification, equals: phish}}'

/** Reads `transforms` of an output: a list, in whose order they are applied. */
export function readTransforms(node: Node | undefined, path: string, context: Context): readonly TransformConfig[] {
  if (isLeftOut(node)) return []
  if (node.kind === 'list') return node.items.flatMap((item, index) => readTransform(item, `${path}[${index}]`, context))
  context.report.problem(path, 'must be a list; each entry begins with a dash', show(node))
  return []
}

function readTransform(node: Node, path: string, context: Context): readonly TransformConfig[] {
  // A plug-in without options may stand there as its name alone.
  const [first, second] = node.kind === 'map' ? [...node.entries] : node.kind === 'scalar' ? nameAlone(node, path, context) : []
  if (first === undefined || second !== undefined) {
    context.report.problem(path, FORM, show(node))
    return []
  }
  const [name, inside] = first
  const wrong = whatIsWrong(name)
  if (wrong === null) return [readConfig(isBuiltInTransform(name) ? name : 'plug_in', { name, path }, inside, join(path, name), context)]
  context.report.problem(path, `must be ${BUILT_IN_TRANSFORMS.join(' or ')}${wrong}`, showText(name))
  return []
}

function nameAlone(node: Node & { readonly kind: 'scalar' }, path: string, context: Context): readonly (readonly [string, Node])[] {
  const scalar = readScalar(node, path, context)
  return scalar === null || scalar.foreign || !isFile(scalar.text) ? [] : [[scalar.text, { kind: 'map', entries: new Map(), secret: false }]]
}

function whatIsWrong(name: string): string | null {
  if (isBuiltInTransform(name)) return null
  const near = isFile(name) ? null : nearest(name, BUILT_IN_TRANSFORMS)
  if (near !== null) return ` (did you mean ${near}?)`
  return isPlugIn(name) ? null : ', a file of your own such as ./my-transform.mjs, or the name of an npm package'
}

function readConfig<K extends TransformTypeName>(type: K, named: Named, node: Node, path: string, context: Context): TransformConfig<K> {
  return { type, config: TRANSFORM_TYPES[type].read(node, path, context, named) }
}
