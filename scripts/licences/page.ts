import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Dependency {
  readonly name: string
  readonly version: string
  /** As SPDX writes it; null where the package says nothing. */
  readonly licence: string | null
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly license?: string; readonly dev?: boolean; readonly devOptional?: boolean }>>
}

/** What a deployment has, without what only builds and tests it. `root` is a checkout. */
export function readLock(root: string): readonly Dependency[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock // npm's own form
  return Object.entries(packages)
    .filter(([path, { dev }]) => path !== '' && dev !== true)
    .map(([path, { version = '', license = null }]) => ({ name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length), version, licence: license }))
    .sort((a, b) => a.name.localeCompare(b.name, 'en') || a.version.localeCompare(b.version, 'en'))
}

/** The document, as it stands in docs/. */
export function licencesPage(dependencies: readonly Dependency[]): string {
  const counts = new Map<string, number>()
  for (const { licence } of dependencies) counts.set(licence ?? 'unknown', (counts.get(licence ?? 'unknown') ?? 0) + 1)
  const summary = [...counts].sort(([, a], [, b]) => b - a).map(([licence, count]) => `${licence} (${count})`)
  return [
    '# Licences',
    '',
    'What a deployment is built of, by `package-lock.json`; this file is made by `npm run licences`. The collector itself: [MIT](../LICENSE).',
    '',
    `In all: ${summary.join(', ')}.`,
    '',
    '| Package | Version | Licence |',
    '|---|---|---|',
    ...dependencies.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence ?? 'unknown'} |`),
    '',
  ].join('\n')
}
