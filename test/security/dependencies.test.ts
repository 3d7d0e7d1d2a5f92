import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { licencesPage, readLock } from '../../scripts/licences/page.ts'
import { textOf } from '../compose/compose.ts'

const dependencies = readLock(fileURLToPath(new URL('../..', import.meta.url)))
/** Under each of them the collector may be used and passed on without opening anything of one's own. */
const PERMISSIVE = /^(?:MIT|ISC|BSD-[23]-Clause|Apache-2\.0|0BSD|\(BSD-3-Clause OR GPL-2\.0\))$/

test('docs/licences.md names what a deployment is built of; after a change: npm run licences', () => {
  expect(dependencies.length).toBeGreaterThan(20)
  expect(textOf('docs/licences.md')).toBe(licencesPage(dependencies))
})

test('every licence is a permissive one', () => {
  expect(dependencies.filter(({ licence }) => !PERMISSIVE.test(licence ?? ''))).toEqual([])
})

test('the lock file holds a hash of everything, names no registry, and only one package may run a script while it is installed', () => {
  const { packages } = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, { integrity?: string; resolved?: string; hasInstallScript?: boolean }> } // npm's own form
  const entries = Object.entries(packages).filter(([path]) => path !== '')
  expect(entries.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([path]) => path)).toEqual([])
  expect(entries.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path)).toEqual([])
  const { allowScripts, dependencies: direct, devDependencies } = JSON.parse(textOf('package.json')) as Record<string, Record<string, unknown>> // npm's own form
  expect(Object.entries(allowScripts ?? {}).filter(([, may]) => may === true)).toEqual([['node', true]])
  // Pinned: the same everywhere, and the same tomorrow.
  for (const [name, version] of Object.entries({ ...direct, ...devDependencies })) expect(version, name).toMatch(/^\d+\.\d+\.\d+$/)
})
