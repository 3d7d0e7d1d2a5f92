import type { Transform } from '../pipeline/transform.ts'
import { createFilter } from '../transforms/filter.ts'
import { createRedact } from '../transforms/redact.ts'
import type { Context } from './component.ts'
import { readFilter } from './filter.ts'
import type { Node } from './node.ts'
import { readRedact } from './redact.ts'

export interface TransformType<C> {
  /** Reads what stands behind the transform's name; what is wrong goes to the context's report, and the value returned then is never used. */
  read(node: Node | undefined, path: string, context: Context): C
  create(config: C): Transform
  /** What of the configuration may never stand in the log. */
  secrets?(config: C): readonly string[]
}

const transformType = <C>(type: TransformType<C>): TransformType<C> => type

/** The transforms that are built in, by their names in the YAML: a new one is a row here. */
const TABLE = {
  filter: transformType({ read: readFilter, create: createFilter }),
  redact: transformType({ read: readRedact, create: createRedact, secrets: ({ key }) => (key === null ? [] : [key]) }),
}

/** The configuration of each, by its name. */
export type TransformConfigs = { readonly [K in keyof typeof TABLE]: ReturnType<(typeof TABLE)[K]['read']> }
export type TransformTypeName = keyof TransformConfigs

/** Of one type, or of any. */
export type TransformConfig<K extends TransformTypeName = TransformTypeName> = {
  readonly [T in K]: { readonly type: T; readonly config: TransformConfigs[T] }
}[K]

export const TRANSFORM_TYPES: { readonly [K in TransformTypeName]: TransformType<TransformConfigs[K]> } = TABLE

export function isTransformType(name: string): name is TransformTypeName {
  return Object.hasOwn(TABLE, name)
}
