import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Relative paths of `${file:...}` start here. */
  readonly root: string
}

export type Substituted =
  /** `foreign`: part of the text came from the environment or from a file, so that it may not be shown. */
  { readonly text: string; readonly foreign: boolean } | { readonly wrong: string }

const REFERENCE = /\$\$\{|\$\{([^}]*)\}|\$\{/g
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/
const LARGEST_FILE = 64 * 1024

/** Puts in `${NAME}` and `${file:PATH}`; `$${` stands for `${`. What comes from outside is not looked at again. */
export function substitute(text: string, surroundings: Surroundings): Substituted {
  if (!text.includes('${')) return { text, foreign: false }
  const wrong: string[] = []
  let foreign = false
  const result = text.replace(REFERENCE, (match: string, reference: string | undefined) => {
    if (match === '$${') return '${'
    if (reference === undefined) {
      wrong.push('has ${ without its closing brace; write $${ for the characters ${ themselves')
      return ''
    }
    foreign = true
    const found = reference.startsWith('file:')
      ? fromFile(reference.slice(5), surroundings.root)
      : fromEnvironment(reference, surroundings.env)
    if (found.wrong !== undefined) wrong.push(found.wrong)
    return found.text
  })
  return wrong.length > 0 ? { wrong: [...new Set(wrong)].join(', and ') } : { text: result, foreign }
}

interface Found {
  readonly text: string
  readonly wrong?: string
}

function fromEnvironment(name: string, env: Surroundings['env']): Found {
  // What stands between the braces may be a piece of a password, so it is only shown where it is the name of a variable.
  if (!VARIABLE.test(name))
    return {
      text: '',
      wrong: 'has ${...} with something else than a variable or file:PATH in it; write $${ for the characters ${ themselves',
    }
  const value = env[name]
  return value === undefined ? { text: '', wrong: `reads the environment variable ${name}, which is not set` } : { text: value }
}

function fromFile(path: string, root: string): Found {
  if (path.trim() === '') return { text: '', wrong: 'has ${file:} without a path' }
  const file = resolve(root, path)
  try {
    const stats = statSync(file)
    if (stats.isDirectory()) return { text: '', wrong: `reads the file ${file}, which is a folder` }
    // A device or a pipe may never end.
    if (!stats.isFile()) return { text: '', wrong: `reads ${file}, which is no ordinary file` }
    if (stats.size > LARGEST_FILE) return { text: '', wrong: `reads the file ${file}, which is larger than 64 KiB` }
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
    return { text: text.replace(/\r?\n$/, '') }
  } catch (error) {
    return { text: '', wrong: `reads the file ${file}, which ${whyUnreadable(error)}` }
  }
}

export const MISSING = 'does not exist'

/** Completes a sentence: `the file x ...`. */
export function whyUnreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ENOENT' || code === 'ENOTDIR') return MISSING
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read by this user'
  if (code === 'EISDIR') return 'is a folder'
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'is not text in UTF-8'
  return `cannot be read (${code === '' ? 'unknown reason' : code})`
}
