import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import { describe, expect, it, test } from 'vitest'
import { parseDocument } from 'yaml'
import { configSchema } from '../../scripts/config-schema/file.ts'
import { textOf } from '../compose/compose.ts'

const DATA = join(import.meta.dirname, 'data')
const isValid = new Ajv({ strict: true, allowUnionTypes: true, strictTypes: false, strictRequired: false, allErrors: true }).compile(JSON.parse(textOf('schemas/config.schema.json')) as object) // a schema is an object

/** What an editor finds wrong, with its places; a file that is no YAML has something wrong without any schema. */
function wrongWith(text: string): readonly string[] {
  const document = parseDocument(text, { merge: true, logLevel: 'silent' })
  if (document.errors.length > 0 || document.warnings.length > 0) return ['no YAML']
  try {
    if (isValid(document.toJS())) return []
  } catch {
    return ['no YAML'] // an anchor that holds itself
  }
  return (isValid.errors ?? []).map(({ instancePath, message = '' }) => `${instancePath} ${message}`)
}

const filesIn = (folder: string) =>
  readdirSync(join(DATA, folder))
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => [name, readFileSync(join(DATA, folder, name), 'utf8')] as const)

test('the schema in the package is the one of the validation as it is; after a change: npm run schema', () => {
  expect(JSON.parse(textOf('schemas/config.schema.json'))).toEqual(JSON.parse(JSON.stringify(configSchema())))
})

describe('what the collector takes, the schema takes', () => {
  it.each([...filesIn('good'), ...filesIn('old')])('%s', (_name, text) => {
    expect(wrongWith(text)).toEqual([])
  })

  it.each(['config/config.example.yaml', 'config/config.kafka.example.yaml'])('%s, also with all that is commented out in it', (name) => {
    const text = textOf(name)
    expect(wrongWith(text)).toEqual([])
    const everything = text.replaceAll(/^( *)# (?=(?: {2})*(?:- )?[a-z_A-Z0-9]+:)/gm, '$1')
    expect(everything).not.toBe(text)
    expect(wrongWith(everything)).toEqual([])
  })

  it.each(['embedded', 'kafka'])('the configuration for Kubernetes, %s', (name) => {
    const { data } = parseDocument(textOf(`deploy/kubernetes/${name}.yaml`).split('\n---\n')[0] ?? '').toJS() as { data: Record<string, string> } // as the manifest has it
    expect(wrongWith(data['config.yaml'] ?? '')).toEqual([])
  })

  it('an output and a transform of the user\'s own, with any options', () => {
    const own = '{type: ./my-sink.mjs, config: {any: [thing]}, transforms: [./a.mjs, {my-package: {x: 1}}, {filter: {drop: {field: /url, exists: true}}}]}'
    const rest = 'inputs: {proofpoint_tap: {id: 12345, credentials: {username: u, password: p}, services: {clicksBlocked: {}}}}'
    expect(wrongWith(`outputs: {mine: ${own}, other: {type: "@scope/sink"}}\n${rest}`)).toEqual([])
  })
})

/** Only the collector can tell: from the environment, from other files, from two keys together, from the time. */
const BEYOND = ['clashes.yaml', 'references.yaml', 'services-twice.yaml']

describe('what the collector refuses, the schema refuses where it can tell', () => {
  it.each(filesIn('bad'))('%s', (name, text) => {
    const wrong = wrongWith(text)
    if (BEYOND.includes(name)) expect(wrong).toEqual([])
    else expect(wrong).not.toEqual([])
  })
})
