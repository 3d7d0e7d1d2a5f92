import { describeError } from '../pipeline/errors.ts'
import { FINGERPRINT_BYTES, type Batch } from '../pipeline/event.ts'
import type { Reject, Transform } from '../pipeline/transform.ts'
import type { PlugInConfig } from './config.ts'
import { loadFactory, make, refused } from './load.ts'
import { toolsFor, type TransformTools } from './tools.ts'

const NEWLINE = 0x0a

/** A transform of the user's own, whose every result is looked at. Throws ConfigurationError where it cannot be made. */
export async function createPlugInTransform(plugIn: PlugInConfig, context: Omit<TransformTools, 'eventsOf' | 'toLines'>): Promise<Transform> {
  const { clock } = context
  const made = await make(plugIn, await loadFactory(plugIn, 'createTransform', clock), toolsFor(context), clock)
  if (typeof made !== 'function') throw refused(plugIn, 'gives no transform: createTransform must return a function of a batch')
  // What it gives is looked at; it is no Transform yet.
  const transform = made as (batch: Batch, reject: Reject) => unknown
  return (batch, reject) => {
    try {
      return checked(transform(batch, reject), batch)
    } catch (error) {
      throw new Error(`plug-in ${plugIn.specifier}: ${describeError(error)}`, { cause: error })
    }
  }
}

/** What is not a batch would be lost, or go out as something that nobody sent. */
function checked(result: unknown, given: Batch): Batch | null {
  if (result === null) return null
  if (result instanceof Promise) {
    result.catch(() => undefined)
    throw new TypeError('it gave a promise; a transform gives its batch, or null, at once')
  }
  const { lines, fingerprints } = typeof result === 'object' ? partOf(result) : { lines: null, fingerprints: null }
  if (!(lines instanceof Uint8Array) || !(fingerprints instanceof Uint8Array)) throw new TypeError('it gave neither a batch nor null')
  if (lines.length === 0) return null
  const count = countLines(lines)
  if (lines.at(-1) !== NEWLINE || fingerprints.length !== count * FINGERPRINT_BYTES)
    throw new TypeError(`it gave ${count} lines and ${fingerprints.length} bytes of fingerprints; every line ends with a line feed and has ${FINGERPRINT_BYTES} of them`)
  // The batch that was read may have come back with other lines in it.
  return result === given ? given : { ...given, lines, fingerprints }
}

function partOf(result: object): { readonly lines: unknown; readonly fingerprints: unknown } {
  return { lines: Reflect.get(result, 'lines'), fingerprints: Reflect.get(result, 'fingerprints') }
}

function countLines(lines: Uint8Array): number {
  let count = 0
  for (let at = lines.indexOf(NEWLINE); at !== -1; at = lines.indexOf(NEWLINE, at + 1)) count += 1
  return count
}
