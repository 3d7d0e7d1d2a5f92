import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** `.ndjson`, `.ndjson.gz`, `.gz`; what begins with a digit is a piece of a date and no extension. */
const EXTENSION = /(?:\.[A-Za-z]\w*)?(?:\.gz)?$/

/** Where the events of a pull go: the path with its time put in. */
export function pathAt(pattern: string, pulledAt: number): string {
  const time = new Date(pulledAt).toISOString()
  const parts: Readonly<Record<string, string>> = { Y: time.slice(0, 4), m: time.slice(5, 7), d: time.slice(8, 10), H: time.slice(11, 13), '%': '%' }
  return pattern.replace(/%([YmdH%])/g, (_, name: string) => parts[name] ?? '')
}

/** `tap.ndjson`, `tap.1.ndjson`, `tap.2.ndjson` ...: the files that follow each other at one path. */
export function numbered(path: string, number: number): string {
  if (number === 0) return path
  const { stem, extension } = parted(path)
  return join(dirname(path), `${stem}.${number}${extension}`)
}

/** The number of the last file that is there for a path; null where there is none, or no folder. */
export async function lastNumber(path: string): Promise<number | null> {
  const { stem, extension } = parted(path)
  let last: number | null = null
  for (const name of await namesIn(dirname(path))) {
    const isOne = name.startsWith(`${stem}.`) && name.endsWith(extension)
    const digits = isOne ? name.slice(stem.length + 1, name.length - extension.length) : ''
    const number = name === basename(path) ? 0 : /^[1-9]\d{0,8}$/.test(digits) ? Number(digits) : null
    if (number !== null && number >= (last ?? 0)) last = number
  }
  return last
}

function parted(path: string): { readonly stem: string; readonly extension: string } {
  const name = basename(path)
  const extension = EXTENSION.exec(name)?.[0] ?? ''
  return { stem: name.slice(0, name.length - extension.length), extension }
}

async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
