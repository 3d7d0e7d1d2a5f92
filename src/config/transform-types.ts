import type { Transform } from '../pipeline/transform.ts'
import { createPlugInTransform } from '../plug-ins/transform.ts'
import { createFilter } from '../transforms/filter.ts'
import { createRedact } from '../transforms/redact.ts'
import type { Context } from './component.ts'
import { readFilter } from './filter.ts'
import type { Node } from './node.ts'
import type { SinkContext } from './output-types.ts'
import { readPlugIn, type Named } from './plug-in.ts'
import { readRedact } from './redact.ts'

/** What a transform is given beside its configuration; it takes what it needs. */
export type TransformContext = Pick<SinkContext, 'name' | 'clock' | 'log'>

export interface TransformType<C> {
  /** Reads what stands behind the transform's name; what is wrong goes to the context's report, and the value returned then is never used. */
  read(node: Node | undefined, path: string, context: Context, type: Named): C
  create(config: C, context: TransformContext): Transform | Promise<Transform>
  /** What of the configuration may never stand in the log. */
  secrets?(config: C): readonly string[]
}

const transformType = <C>(type: TransformType<C>): TransformType<C> => type

/** The transforms that are built in, by their names in the YAML: a new one is a row here. */
const TABLE = {
  filter: transformType({ read: readFilter, create: createFilter }),
  redact: transformType({ read: readRedact, create: createRedact, secrets: ({ key }) => (key === null ? [] : [key]) }),
  // What has any other name.
  plug_in: transformType({ read: readPlugIn, create: createPlugInTransform, secrets: ({ secrets }) => secrets }),
}

/** The configuration of each, by its name. */
export type TransformConfigs = { readonly [K in keyof typeof TABLE]: ReturnType<(typeof TABLE)[K]['read']> }
export type TransformTypeName = keyof TransformConfigs

/** Of one type, or of any. */
export type TransformConfig<K extends TransformTypeName = TransformTypeName> = {
  readonly [T in K]: { readonly type: T; readonly config: TransformConfigs[T] }
}[K]

export const TRANSFORM_TYPES: { readonly [K in TransformTypeName]: TransformType<TransformConfigs[K]> } = TABLE

/** Those that the YAML knows by name. */
export const BUILT_IN_TRANSFORMS: readonly string[] = Object.keys(TABLE).filter((name) => name !== 'plug_in')

export function isBuiltInTransform(name: string): name is TransformTypeName {
  return BUILT_IN_TRANSFORMS.includes(name)
}
