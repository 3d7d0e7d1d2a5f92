import { registerHooks } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Clock } from '../pipeline/clock.ts'
import { ConfigurationError, describeError } from '../pipeline/errors.ts'
import { isFile, type PlugInConfig } from './config.ts'
import { inTime } from './in-time.ts'

/** What a plug-in exports: `createSink` or `createTransform`. */
export type Factory = (options: unknown, context: unknown) => unknown

const LOAD_MS = 30_000

/**
 * The code of a plug-in; a second call gets the same. Throws ConfigurationError: what does not load at the start will not do so later either, and
 * must not wait until there is something to deliver.
 */
export async function loadFactory(plugIn: PlugInConfig, name: 'createSink' | 'createTransform', clock: Clock): Promise<Factory> {
  const { specifier, root } = plugIn
  let module: unknown
  try {
    const loading = isFile(specifier) ? import(pathToFileURL(resolve(root, specifier)).href) : importFrom(root, specifier)
    module = await inTime(loading, LOAD_MS, clock, 'it was not loaded within 30 s; something at its top level waits')
  } catch (error) {
    throw refused(plugIn, isMissing(error, specifier) ? `cannot be used: there is no package ${specifier} in ${root}; install it there with npm` : `cannot be loaded: ${firstLine(error)}`, error)
  }
  const exported: unknown = typeof module === 'object' && module !== null ? Reflect.get(module, name) : undefined
  // Whatever it takes and gives: both is checked where it is called.
  if (typeof exported === 'function') return exported as Factory
  const others = Object.keys(module ?? {}).sort().join(', ')
  throw refused(plugIn, `has no function ${name} among its exports (${others === '' ? 'it exports nothing' : others})`)
}

/** What the plug-in's own function makes of its options. Throws ConfigurationError. */
export async function make(plugIn: PlugInConfig, factory: Factory, context: unknown, clock: Clock): Promise<unknown> {
  try {
    return await inTime(Promise.resolve(factory(plugIn.options, context)), LOAD_MS, clock, 'it was not made within 30 s')
  } catch (error) {
    throw refused(plugIn, `refuses to be made: ${firstLine(error)}`, error)
  }
}

export function refused({ specifier, namedAt }: PlugInConfig, why: string, cause?: unknown): ConfigurationError {
  const error = new ConfigurationError([{ path: namedAt, message: `plug-in ${specifier} ${why}` }], { code: 'PlugInUnusable' })
  error.cause = cause
  return error
}

/** Some messages bring the code along. */
function firstLine(error: unknown): string {
  return describeError(error).split('\n', 1)[0] ?? ''
}

/** A package is looked for in the node_modules of the root and of the folders above it, as a module that lies there would. */
async function importFrom(root: string, specifier: string): Promise<unknown> {
  const parentURL = pathToFileURL(join(root, 'plug-ins.js')).href
  const hooks = registerHooks({
    resolve: (wanted, context, next) => next(wanted, wanted === specifier && context.parentURL === import.meta.url ? { ...context, parentURL } : context),
  })
  try {
    return await import(specifier)
  } finally {
    hooks.deregister()
  }
}

/** The package itself, and not something that it needs. */
function isMissing(error: unknown, specifier: string): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND' && error.message.includes(`'${packageOf(specifier)}'`)
}

function packageOf(specifier: string): string {
  return specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}
