import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { Document, isMap, parseDocument } from 'yaml'
import { configSchema } from '../../scripts/config-schema/file.ts'
import { textOf } from '../compose/compose.ts'
import { folderWith, outcomeOf } from './setup.ts'

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

/** Every key that an editor completes, by its path, with what it says of it. */
function keysIn(schema: unknown, path: string): (readonly [path: string, description: unknown])[] {
  if (Array.isArray(schema)) return schema.flatMap((one) => keysIn(one, path))
  if (typeof schema !== 'object' || schema === null) return []
  return Object.entries(schema).flatMap(([word, below]) => {
    if (word === 'if') return []
    if (word !== 'properties') return keysIn(below, path)
    return Object.entries(below as object).flatMap(([key, one]) => [[`${path}.${key}`, Reflect.get(one as object, 'description')] as const, ...keysIn(one, `${path}.${key}`)]) // schemas are objects
  })
}

test('an editor explains every key', () => {
  const keys = keysIn(configSchema(), '')
  const explained = new Set(keys.filter(([, description]) => typeof description === 'string' && description.length > 10).map(([path]) => path))
  expect(explained.size).toBeGreaterThan(150)
  // Where a key is told in two places (what it is, and what it holds for one type), one of them is enough.
  expect([...new Set(keys.map(([path]) => path).filter((path) => !explained.has(path)))]).toEqual([])
  const description = (path: string) => String(keys.find(([one]) => one === path)?.[1])
  expect(description('.inputs.services.clicksBlocked.look_back_in_minutes')).toMatch(/minutes .*From 0 to 59\. Default: 45\.$/)
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

type Place = readonly (string | number)[]

/** The paths of all that is in a tree of YAML, but for the tree itself. */
function placesIn(value: unknown, at: Place = []): Place[] {
  const entries: [string | number, unknown][] = Array.isArray(value) ? [...value.entries()] : typeof value === 'object' && value !== null ? Object.entries(value) : []
  return entries.flatMap(([key, below]) => [[...at, key], ...placesIn(below, [...at, key])])
}

/** What an editor's user might have there. */
const VALUES = [null, true, false, 'yes', 'Off', 0, 1, -1, 5, 70_000, 1e12, 1.5, '7', '1_000', '', 'x', 'all', 'gzip', 'drain', 'elastic_bulk', './own.mjs', '${X}', '<x>', 'https://a.example', [], ['x'], ['active'], {}, { a: 1 }]

test('whatever becomes of a good configuration: the schema is never stricter than the collector', async () => {
  const root = await folderWith({ 'own.mjs': 'export {}' })
  const file = join(root, 'config.yaml')
  const trees = [...filesIn('good'), ...filesIn('old')].map(([, text]) => parseDocument(text, { merge: true, logLevel: 'silent' }).toJS() as object) // all of them are mappings
  const change = fc.record({ place: fc.nat(), kind: fc.constantFrom('remove', 'replace', 'add', 'off'), value: fc.constantFrom(...VALUES), key: fc.constantFrom('enabled', 'type', 'config', 'queue_size', 'sender_x', 'url', 'port', 'gzip', 'x') })
  let taken = 0
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...trees), fc.array(change, { minLength: 1, maxLength: 3 }), async (tree, changes) => {
      const document = new Document(structuredClone(tree))
      for (const { place, kind, value, key } of changes) {
        const places = placesIn(document.toJS())
        const at = places[place % Math.max(1, places.length)] ?? []
        if (kind === 'remove') document.deleteIn(at)
        else if (kind === 'replace') document.setIn(at, document.createNode(value))
        else if (isMap(document.getIn(at))) document.setIn([...at, kind === 'off' ? 'enabled' : key], kind === 'off' ? false : document.createNode(value))
      }
      await writeFile(file, document.toString())
      const { loaded } = await outcomeOf(file, { env: { X: '1' } })
      if (loaded === null) return
      taken += 1
      expect(wrongWith(document.toString()), document.toString()).toEqual([])
    }),
    { numRuns: 500 },
  )
  expect(taken).toBeGreaterThan(50)
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
