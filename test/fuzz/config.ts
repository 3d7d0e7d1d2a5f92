import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigurationError, describeProblem, type Problem } from '../../src/pipeline/errors.ts'
import { mutate, mutations, type Mutation } from './mutate.ts'
import { assert, assertTold, target, type FuzzTarget } from './target.ts'

const DATA = join(import.meta.dirname, '../config/data')
const FILES = ['good', 'bad', 'old'].flatMap((folder) => readdirSync(join(DATA, folder)).filter((name) => name.endsWith('.yaml')).map((name) => join(DATA, folder, name)))
const WORDS = [
  '\n', '\n  ', '\n- ', ': ', ' #', '- ', '? ', '&a ', '*a', '<<: *a', '<<: ', '!!binary ', '!!set ', '!!omap ', '! ', '|\n', '>-\n', '---\n', '...\n', '%YAML 1.1\n', '\t', '{', '}', '[', ']', '"', "'", '\\x', '${', '${X}',
  '${file:/nowhere}', '~', 'null', '.nan', '.inf', '0x', '1_000', '12:30:45', '2026-11-20', '1e999', '__proto__: ', 'constructor: ', '\ufeff', '\u2028', '\u0000', '\u0085',
]

let folder = ''
let file = ''

const yaml = target({
  name: 'a configuration that is changed',
  runs: 300,
  cases: fc.record({ from: fc.constantFrom(...FILES), changes: mutations({ words: WORDS, most: 5 }) }),
  async begin() {
    folder = await mkdtemp(join(tmpdir(), 'tap-fuzz-'))
    file = join(folder, 'config/config.yaml')
    await mkdir(join(folder, 'config'))
  },
  end: () => rm(folder, { recursive: true }),
  async check({ from, changes }: { from: string; changes: readonly Mutation[] }) {
    await writeFile(file, mutate(readFileSync(from), changes))
    try {
      const { config, warnings } = await loadConfig({ file, env: { X: 'x' }, now: Date.parse('2026-11-24T12:00:00Z'), checkCertificates: false })
      warnings.forEach(assertReadable)
      assert(config.outputs.length > 0 && config.inputs.length > 0, () => 'a configuration without inputs or outputs was taken')
    } catch (error) {
      assertTold(error, [ConfigurationError], 200_000)
      if (!(error instanceof ConfigurationError)) throw error
      assert(error.problems.length > 0, () => 'nothing is said')
      error.problems.forEach(assertReadable)
    }
  },
})

/** One line, and not the whole file. */
function assertReadable(problem: Problem): void {
  const line = describeProblem(problem)
  assert(/^[^\p{Cc}\p{Zl}\p{Zp}]{10,1500}$/u.test(line), () => `not a line for an operator: ${JSON.stringify(line)}`)
  assert(problem.message !== '', () => `nothing is said about ${problem.path}`)
}

export const configTargets: readonly FuzzTarget[] = [yaml]
