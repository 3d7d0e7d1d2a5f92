import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { textOf } from '../compose/compose.ts'
import { makeWorld, MINUTE_MS } from '../e2e/world.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

interface Packed {
  readonly filename: string
  readonly files: readonly { readonly path: string; readonly size: number; readonly mode: number }[]
}

async function pack(...options: readonly string[]): Promise<Packed> {
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', ...options], { cwd: ROOT })
  const [packed] = Object.values(JSON.parse(stdout) as Record<string, Packed>) // npm's own form, a list or by name
  if (packed === undefined) throw new Error('nothing was packed')
  return packed
}

let packed: Packed
beforeAll(async () => {
  packed = await pack('--dry-run')
})

test('the package has what runs and what explains it, and nothing else', () => {
  const paths = packed.files.map(({ path }) => path)
  const folders = new Set(paths.map((path) => (path.includes('/') ? path.slice(0, path.indexOf('/') + 1) : path)))
  expect([...folders].toSorted()).toEqual([
    'ARCHITECTURE.md', 'CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'config/', 'deploy/', 'dist/', 'docs/', 'examples/', 'package.json', 'schemas/',
  ])
  // Nobody's configuration, keys or events.
  expect(paths.filter((path) => path.startsWith('config/')).toSorted()).toEqual(['config/config.example.yaml', 'config/config.kafka.example.yaml'])
  expect(paths.filter((path) => path.startsWith('dist/') && !/^dist\/telemetry\/page\/page\.(?:html|css)$|\.(?:js|d\.ts)$/.test(path))).toEqual([])
  // Nothing of a source that is no more: a package is built anew.
  expect((JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }).scripts.prepack).toMatch(/rmSync\('dist'.*run --silent build$/) // npm's own form
  expect(packed.files.find(({ path }) => path === 'dist/cli.js')?.mode.toString(8)).toBe('755')
})

/** As GitHub names them in an address. */
function headingsOf(document: string): string[] {
  return [...textOf(document).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'))
}

test('every document in it leads to what is in it', () => {
  const paths = new Set(packed.files.map(({ path }) => path))
  for (const document of [...paths].filter((path) => path.endsWith('.md'))) {
    for (const [, target = '', heading] of textOf(document).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)) {
      const path = target === '' ? document : resolve('/', dirname(document), target).slice(1)
      const isThere = paths.has(path) || [...paths].some((one) => one.startsWith(`${path}/`))
      expect(isThere || OF_THE_CHECKOUT.includes(path), `${document}: ${target}`).toBe(true)
      if (heading !== undefined) expect(headingsOf(path), `${document}: ${target}`).toContain(heading)
    }
  }
})

/** What a document speaks of and only who works in a checkout has. */
const OF_THE_CHECKOUT = ['CONTRIBUTING.md', 'docker-compose.yml', 'docker-compose.embedded.yml']

test('npx of the packed file works in an empty folder', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'tap-package-'))
  onTestFinished(async () => rm(dir, { recursive: true, force: true }))
  const { filename } = await pack('--pack-destination', dir)
  await writeFile(join(dir, 'package.json'), '{"private": true}')
  // What the checkout's own install has fetched is not fetched again.
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error', join(dir, filename)], { cwd: dir })
  const until = Date.now() - 2 * MINUTE_MS
  const world = await makeWorld({ traffic: { until }, perHour: 60 })
  const { stdout } = await run('npx', ['--no-install', 'tap-collector', '--version'], { cwd: dir })
  expect(stdout).toBe(`${(JSON.parse(textOf('package.json')) as { version: string }).version}\n`) // npm's own form
  await run('npx', ['--no-install', 'tap-collector', 'run', '--once', '--config', world.configPath], { cwd: dir })
  await world.allArrive(until)
  // And what a plug-in imports of it.
  const names = 'import * as all from "devo-proofpoint-tap-collector"; import * as contract from "devo-proofpoint-tap-collector/contract"; console.log(Object.keys(contract).join())'
  expect((await run(process.execPath, ['--input-type=module', '--eval', names], { cwd: dir })).stdout).toMatch(/sinkContract/)
}, 90_000)
