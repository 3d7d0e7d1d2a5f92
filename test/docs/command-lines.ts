import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { textOf } from '../compose/compose.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FILES = /\.(?:md|svg|ya?ml|service|html|js|ts)$/
/** What a user is told to type stands in documents, and in what the collector says itself. */
const PLACES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'docker-compose.yml', 'docker-compose.embedded.yml', 'docs', 'deploy', 'config', 'src']

export interface CommandLine {
  /** `docs/errors.md: tap-collector status`. */
  readonly where: string
  readonly verb: string
  readonly flags: readonly string[]
}

/** Every `tap-collector VERB ...`, and every `VERB ...` that stands as code by itself. */
export function commandLines(verbs: readonly string[]): readonly CommandLine[] {
  const names = verbs.join('|')
  const full = new RegExp(String.raw`(?:tap-collector|dist/c(?:li|ontainer)\.js) ([a-z]+(?:-[a-z]+)*)((?: (?![|&#<])[^\s\`"'),;|<]+)*)`, 'g')
  const alone = new RegExp(`\`(${names})((?: [^\`]*)?)\``, 'g')
  return paths().flatMap((path) => {
    const text = textOf(path)
    const found = [...text.matchAll(full), ...(path.endsWith('.md') ? text.matchAll(alone) : [])]
    return found.map(([whole, verb = '', rest = '']) => ({ where: `${path}: ${whole}`, verb, flags: rest.match(/(?<= )--[a-z-]+/g) ?? [] }))
  })
}

function paths(): readonly string[] {
  return PLACES.flatMap((place) => (FILES.test(place) ? place : readdirSync(join(ROOT, place), { recursive: true, encoding: 'utf8' }).filter((name) => FILES.test(name)).map((name) => `${place}/${name}`)))
}
