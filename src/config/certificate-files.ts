import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, isAbsolute, resolve } from 'node:path'
import { nearest } from './nearest.ts'
import type { Report } from './report.ts'
import { MISSING, whyUnreadable } from './substitute.ts'

/** A file that a key of the configuration names. */
export interface NamedFile {
  /** Where in the YAML. */
  readonly path: string
  /** Absolute. */
  readonly file: string
  /** How a message calls it: a name that came from the environment is not shown. */
  readonly label: string
}

const LARGEST = 1024 * 1024

/** Names are looked up in `certs/`; one with a folder in it also from the root. */
export function fileOf(name: string, path: string, foreign: boolean, root: string): NamedFile {
  const inCerts = resolve(root, 'certs', name)
  const fromRoot = resolve(root, name)
  const file = !isAbsolute(name) && /[/\\]/.test(name) && !existsSync(inCerts) && existsSync(fromRoot) ? fromRoot : inCerts
  return { path, file, label: foreign ? 'the file that it names' : file }
}

/** The file's text, or null where it cannot be had (reported). */
export function readPem({ path, file, label }: NamedFile, report: Report): string | null {
  try {
    const stats = statSync(file)
    if (stats.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' })
    if (stats.size > LARGEST) {
      report.problem(path, `${label} is larger than 1 MiB and so no certificate`)
      return null
    }
    // latin1 takes any byte; what is not PEM is found later.
    return readFileSync(file, 'latin1')
  } catch (error) {
    const why = whyUnreadable(error)
    const other = label === file && why === MISSING ? neighbour(file) : null
    report.problem(path, `${label} ${why}${other === null ? '' : `; there is ${other} in that folder`}`)
    return null
  }
}

function neighbour(file: string): string | null {
  const own = basename(file)
  try {
    return nearest(
      own,
      readdirSync(dirname(file)).filter((name) => name !== own),
    )
  } catch {
    return null
  }
}
