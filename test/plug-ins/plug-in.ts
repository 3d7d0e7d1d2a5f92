import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { systemClock, type Clock } from '../../src/pipeline/clock.ts'
import type { PlugInConfig } from '../../src/plug-ins/config.ts'
import type { SinkTools } from '../../src/plug-ins/tools.ts'
import { silent } from '../pipeline/support.ts'

/** A folder with these files. */
export async function folder(files: Readonly<Record<string, string>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'tap-plug-in-'))
  onTestFinished(async () => rm(root, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true })
    await writeFile(join(root, name), text)
  }
  return root
}

export function plugInConfig(root: string, specifier: string, options: unknown = {}): PlugInConfig {
  return { specifier, namedAt: 'outputs.own.type', root, options, secrets: [] }
}

/** A plug-in whose file holds this code. */
export async function plugIn(code: string, options: unknown = {}): Promise<PlugInConfig> {
  return plugInConfig(await folder({ 'own.mjs': code }), './own.mjs', options)
}

export function context(clock: Clock = systemClock): Omit<SinkTools, 'eventsOf' | 'toLines'> {
  return { name: 'own', clock, log: silent, hostName: 'host', tagOf: () => 'my.app.a.b' }
}
