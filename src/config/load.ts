import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { ConfigurationError, type Problem } from '../pipeline/errors.ts'
import { readBuffer } from './buffer.ts'
import { reportClashes } from './clashes.ts'
import { read, type Component, type Context } from './component.ts'
import { parseDocument } from './document.ts'
import { readGlobals } from './globals.ts'
import { readInputs } from './inputs.ts'
import { masked } from './masked.ts'
import { OLD_FILE } from './old-keys.ts'
import { OUTPUT_TYPES } from './output-types.ts'
import { readOutputs } from './outputs.ts'
import { Report } from './report.ts'
import { whyUnreadable } from './substitute.ts'
import type { LoadedConfig } from './types.ts'

export interface LoadOptions {
  /** As the user gave it; relative to the working directory. */
  readonly file: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Epoch milliseconds, for the certificates. */
  readonly now: number
  /** False: their files are not opened. Default true. */
  readonly checkCertificates?: boolean
}

const PARTS = ['globals', 'outputs', 'buffer', 'inputs']
export const FILE: Component<object> = { schema: {}, parts: PARTS, old: OLD_FILE }
const LARGEST = 1024 * 1024

/**
 * Reads and checks the whole file. Throws ConfigurationError with everything that is wrong in it at once.
 * How far back a start time may lie depends on the state: `checkStartTimes` is for that.
 */
export async function loadConfig({ file, env, now, checkCertificates = true }: LoadOptions): Promise<LoadedConfig> {
  const report = new Report()
  const root = rootOf(file)
  const context: Context = { report, env, root, now, checkCertificates }
  const section = read(FILE, parseDocument(await readText(file), file, report), '', context)
  const globals = readGlobals(section.part('globals'), context)
  const inputs = readInputs(section.part('inputs'), context)
  const outputs = readOutputs(section.part('outputs'), inputs, context)
  const buffer = readBuffer(section.part('buffer'), context)
  reportClashes(outputs, inputs, buffer, report)
  if (globals.internalEvents && outputs.length > 0 && !outputs.some(({ type }) => OUTPUT_TYPES[type].takesOwnLog === true))
    report.warning('globals.internal_events', 'sends nothing: it goes to outputs of type devo_platform and relay, and there is none')
  if (report.problems.length > 0) throw new ConfigurationError(inOrder(report.problems))
  return {
    config: { root, ...globals, http: masked(globals.http, ['token']), buffer, outputs, inputs },
    warnings: inOrder(report.warnings),
  }
}

export { formatProblems } from './report.ts'
export { checkStartTimes } from './start-time.ts'

/**
 * What `--config` defaults to. A CONFIG_FILE that does not exist is an error later: to run with another file in its place
 * would be worse.
 */
export function defaultConfigPath(cwd: string, env: Readonly<Record<string, string | undefined>>): string {
  const name = env.CONFIG_FILE
  return resolve(cwd, 'config', name === undefined || name === '' ? 'config.yaml' : name)
}

/** By the parts of the file, for outputs are read after the inputs whose services they may name. */
function inOrder(problems: readonly Problem[]): readonly Problem[] {
  const part = ({ path }: Problem) => PARTS.indexOf(path.split('.', 1)[0] ?? '')
  return problems.toSorted((a, b) => part(a) - part(b))
}

/** The folder that holds `config/`; of a file that lies in no folder of that name, its own folder. */
function rootOf(file: string): string {
  const folder = dirname(resolve(file))
  return basename(folder) === 'config' ? dirname(folder) : folder
}

async function readText(file: string): Promise<string> {
  const fail = (message: string) => new ConfigurationError([{ path: file, message }], { code: 'ConfigurationUnreadable' })
  let bytes: Buffer
  try {
    const stats = await stat(file)
    if (stats.size > LARGEST) throw fail('is larger than 1 MiB; is this the right file?')
    bytes = await readFile(file)
  } catch (error) {
    if (error instanceof ConfigurationError) throw error
    throw fail(`the configuration file ${whyUnreadable(error)}; name it with --config, or with CONFIG_FILE below config/`)
  }
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff))
    throw fail('is written in UTF-16; save it as UTF-8')
  try {
    // Takes a byte order mark off as well.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw fail('is not text in UTF-8; save it as UTF-8')
  }
}
