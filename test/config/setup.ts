import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { loadConfig, type LoadOptions } from '../../src/config/load.ts'
import type { LoadedConfig } from '../../src/config/types.ts'
import { ConfigurationError, type Problem } from '../../src/pipeline/errors.ts'

export const NOW = Date.parse('2026-11-24T12:00:00Z')

/** Everything around `services` of one input that the rules want; two spaces of indentation go before what is added. */
export const MINIMAL = `
outputs: {console_1: {type: console}}
inputs:
  proofpoint_tap:
    id: 12345
    credentials: {username: u, password: p}
    services: {clicksBlocked: {}}
`

export type Outcome =
  { readonly loaded: LoadedConfig; readonly problems: readonly [] } | { readonly loaded: null; readonly problems: readonly Problem[] }

/** Loads a file and gives its problems instead of throwing them; anything else that is thrown is a bug. */
export async function outcomeOf(file: string, options: Partial<LoadOptions> = {}): Promise<Outcome> {
  try {
    return { loaded: await loadConfig({ file, env: {}, now: NOW, checkCertificates: false, ...options }), problems: [] }
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    return { loaded: null, problems: error.problems }
  }
}

/** A folder of its own with these files; `config/config.yaml` may be among them. */
export async function folderWith(files: Readonly<Record<string, string | Buffer>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'tap-config-'))
  onTestFinished(() => rm(root, { recursive: true }))
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true })
    await writeFile(join(root, name), content)
  }
  return root
}

export async function outcomeOfText(yaml: string | Buffer, options: Partial<LoadOptions> = {}): Promise<Outcome> {
  const root = await folderWith({ 'config/config.yaml': yaml })
  return outcomeOf(join(root, 'config/config.yaml'), options)
}
