import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { isFile, type PlugInConfig } from '../plug-ins/config.ts'
import { join, readScalar, type Context } from './component.ts'
import { masked } from './masked.ts'
import { isLeftOut, type Node } from './node.ts'
import { whyUnreadable } from './substitute.ts'

/** Where and by which name the YAML asks for a plug-in. */
export interface Named {
  readonly name: string
  readonly path: string
}

const PACKAGE = /^(?:@[a-z0-9~-][\w.~-]*\/)?[a-z0-9~-][\w.~-]*(?:\/[\w.-]+)*$/i

/** True for a file and for what may be the name of a package. */
export function isPlugIn(name: string): boolean {
  return isFile(name) || PACKAGE.test(name)
}

/** Reads the options of a plug-in as they are: what they mean is its own. Its code is not loaded here. */
export function readPlugIn(node: Node | undefined, path: string, context: Context, { name, path: namedAt }: Named): PlugInConfig {
  const { root, report } = context
  if (isFile(name)) checkFile(name, namedAt, context)
  const secrets: string[] = []
  const value = (one: Node, at: string): unknown => {
    if (one.kind === 'list') return one.items.map((item, index) => value(item, `${at}[${index}]`))
    if (one.kind === 'map') return Object.fromEntries([...one.entries].map(([key, item]) => [key, value(item, join(at, key))]))
    if (one.value === null) return null
    const scalar = readScalar(one, at, context)
    if (scalar !== null && (scalar.foreign || one.secret)) secrets.push(scalar.text)
    return scalar?.value
  }
  const options = isLeftOut(node) ? {} : value(node, path)
  for (const secret of secrets) report.hide(secret)
  return masked({ specifier: name, namedAt, root, options, secrets }, ['options', 'secrets'])
}

function checkFile(name: string, path: string, { root, report }: Context): void {
  const file = resolve(root, name)
  try {
    if (!statSync(file).isFile()) report.problem(path, `the plug-in ${file} is no file`)
  } catch (error) {
    report.problem(path, `the plug-in ${file} ${whyUnreadable(error)}`)
  }
}
