import { inspect } from 'node:util'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { describe, expect, it } from 'vitest'
import { parseDocument } from '../../src/config/document.ts'
import { loadConfig } from '../../src/config/load.ts'
import { Report } from '../../src/config/report.ts'
import { ConfigurationError, describeProblem } from '../../src/pipeline/errors.ts'
import { folderWith, MINIMAL, NOW, outcomeOfText } from './setup.ts'
import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'

/** The secret stands in the middle, so that no ordinary word of a message can hold it by chance. */
const secret = fc.string({ unit: fc.constantFrom(...'QXZqxz'.split('')), minLength: 6, maxLength: 12 })
const decoration = fc.constantFrom(
  '',
  ' ',
  ': ',
  ', ',
  ' #',
  "'",
  '"',
  '{',
  '}',
  '[',
  '*',
  '&',
  '!',
  '%',
  '@',
  '`',
  '|',
  '> ',
  '- ',
  '? ',
  '\\',
  '${',
  '<',
  '>',
  '\t',
)
// `${NAME}` is a reference, and a variable that is not set has to be named.
const value = fc.tuple(decoration, secret, decoration).filter(([before, , after]) => !(before === '${' && after === '}'))

/** Where a secret may stand, as it is or quoted; the rest of the file is full of mistakes, so that everything has reason to talk. */
const PLACES: readonly ((text: string) => string)[] = [
  (text) => `credentials: {username: u, password: ${text}}`,
  (text) => `credentials: {username: ${text}, password: p}`,
  (text) => `credentials:\n      username: u\n      password: ${text}`,
  (text) => `credentials:\n      username: ${text}\n      pasword: ${text}`,
  (text) => `credentials: ${text}`,
  (text) => `credentials: [${text}, ${text}]`,
  (text) => `credentials: {username: {deep: ${text}}, password: [${text}]}`,
  (text) => `credentials: {username: u, password: p, token: ${text}, ${text}: x}`,
  (text) => `credentials: &all {username: u, password: &pw ${text}}\n    id: *pw\n    base_url: *pw\n    environment: *pw`,
  (text) => `credentials: {username: u, password: p}\n    password: ${text}`,
  (text) => `credentials: {username: u, password: p}\n    base_url: "ftp://u:${text.replaceAll(/["\\\n]/g, '')}@example.com/"`,
  (text) => `credentials: |\n      ${text}`,
  (text) => `credentials:\n      username: u\n      password: >-\n        ${text}\n       ${text}`,
  (text) => `credentials:\n      username: u\n      password:${text}`,
  (text) => `credentials:\n      username: u\n       password: ${text}`,
  (text) => `credentials:\n      username: u\n      password:\n        ${text}`,
]

describe('no problem and no warning holds a secret', () => {
  it('that stands in the file, in whatever spelling', async () => {
    const root = await folderWith({ 'config/config.yaml': '' })
    const file = join(root, 'config/config.yaml')
    let problems = 0
    await fc.assert(
      fc.asyncProperty(value, fc.constantFrom(...PLACES), fc.boolean(), async ([before, word, after], place, quoted) => {
        const text = quoted ? stringify(`${before}${word}${after}`).trimEnd() : `${before}${word}${after}`
        await writeFile(
          file,
          `globals: {nmae: x, http: {port: 99999, token: {a: b}}}\noutputs: {console_1: {type: consol}}\ninputs:\n  tap:\n    ${place(text)}\n    services: {clicksBloked: {}}\n`,
        )
        const texts = await everythingSaid(file, {})
        problems += texts.length
        for (const said of texts) expect(said).not.toContain(word)
      }),
      { numRuns: 500 },
    )
    expect(problems).toBeGreaterThan(500)
  })

  it('that comes from the environment or a file, wherever it is read', async () => {
    const root = await folderWith({ 'config/config.yaml': '', secret: '' })
    const file = join(root, 'config/config.yaml')
    const keys = [
      'globals.debug',
      'globals.name',
      'globals.http.host',
      'globals.http.port',
      'globals.http.token',
      'globals.persistence.type',
      'outputs.o.type',
      'outputs.o.start_from',
      'outputs.o.services',
      'outputs.o.max_shipment_events',
      'outputs.d.config.address',
      'outputs.d.config.port',
      'outputs.d.config.chain',
      'outputs.d.config.cert',
      'outputs.d.config.confirm',
      'outputs.d.config.type',
      'buffer.type',
      'buffer.config.max_size_in_mb',
      'inputs.tap.type',
      'inputs.tap.id',
      'inputs.tap.base_url',
      'inputs.tap.environment',
      'inputs.tap.endpoint_mode',
      'inputs.tap.tls.ca',
      'inputs.tap.credentials.username',
      'inputs.tap.credentials.password',
      'inputs.tap.services.clicksBlocked.override_tag',
      'inputs.tap.services.clicksBlocked.start_time_in_utc_format',
      'inputs.tap.services.clicksBlocked.threat_types',
      'inputs.tap.services.clicksBlocked.request_period_in_seconds',
    ]
    await fc.assert(
      fc.asyncProperty(
        value,
        fc.subarray(keys, { minLength: 1 }),
        fc.constantFrom('${SECRET}', '${file:secret}', 'x${SECRET}'),
        fc.boolean(),
        async ([before, word, after], chosen, reference, asList) => {
          const tree = { outputs: { d: { type: 'devo_platform' }, o: {} }, inputs: { tap: {} } }
          for (const key of chosen) assign(tree, key.split('.'), asList ? [reference] : reference)
          await writeFile(file, JSON.stringify(tree))
          await writeFile(join(root, 'secret'), `${before}${word}${after}\n`)
          for (const said of await everythingSaid(file, { SECRET: `${before}${word}${after}` })) expect(said).not.toContain(word)
        },
      ),
      { numRuns: 250 },
    )
  })

  it('where a value that is shown elsewhere is the same as a password', async () => {
    const { problems } = await outcomeOfText(
      MINIMAL.replace('password: p', 'password: hunter2').replace('clicksBlocked: {}', 'clicksBlocked: {override_tag: hunter2}'),
    )
    expect(problems.map(describeProblem)).toEqual([expect.stringMatching(/override_tag: must be a tag of 4 to 8 levels [^']*$/)])
    expect(problems[0]).not.toHaveProperty('value')
  })

  it('even where it is too short to be looked for', async () => {
    const { problems } = await outcomeOfText(MINIMAL.replace('id: 12345', 'id: "${X}"').replace('password: p', 'password: "${X}\\n"'), {
      env: { X: 'ab' },
    })
    expect(problems.map(({ path }) => path)).toEqual(['inputs.proofpoint_tap.id', 'inputs.proofpoint_tap.credentials.password'])
    for (const problem of problems) expect(problem).not.toHaveProperty('value')
  })

  it('and one that holds angle brackets is no placeholder', async () => {
    const { loaded } = await outcomeOfText(MINIMAL.replace('password: p', 'password: "x<abc>y"'))
    expect(loaded?.config.inputs[0]?.password).toBe('x<abc>y')
  })

  it('but other values are shown', async () => {
    const { problems } = await outcomeOfText(MINIMAL.replace('clicksBlocked: {}', 'clicksBlocked: {override_tag: hunter2}'))
    expect(problems[0]?.value).toBe('"hunter2"')
  })

  it('and a long value is shortened, a control character escaped', async () => {
    const { problems } = await outcomeOfText(
      MINIMAL.replace('clicksBlocked: {}', `clicksBlocked: {override_tag: "${'x'.repeat(500)}", start_time_in_utc_format: "\\e[31m"}`),
    )
    expect(problems.map((problem) => problem.value)).toEqual(['"\\u001b[31m"', `"${'x'.repeat(80)}..."`])
  })
})

describe('what was loaded', () => {
  it('hides its credentials from JSON and logs, and gives them to who asks', async () => {
    const { loaded } = await outcomeOfText(
      `${MINIMAL.replace('password: p', 'password: hunter2').replace('username: u', 'username: principal')}globals: {http: {token: hunter3}}`,
    )
    const texts = [JSON.stringify(loaded), inspect(loaded, { depth: 10 }), inspect(loaded?.config.inputs[0])]
    for (const text of texts) {
      expect(text).not.toMatch(/hunter|principal/)
      expect(text).toContain('[secret]')
    }
    expect(loaded?.config.inputs[0]).toMatchObject({ username: 'principal', password: 'hunter2' })
    expect(loaded?.config.http.token).toBe('hunter3')
    expect(JSON.stringify((await outcomeOfText(MINIMAL)).loaded?.config.http)).toContain('"token":null')
  })
})

describe('the tree', () => {
  it('never fails in another way than with a ConfigurationError, whatever the file holds', () => {
    const piece = fc.constantFrom(
      'a',
      'b: ',
      '- ',
      '&x ',
      '*x',
      '<<: ',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '\n',
      '  ',
      '\t',
      '"',
      "'",
      '|',
      '>',
      '!',
      '!!binary ',
      '!!set ',
      '? ',
      '#',
      '%YAML 1.2\n',
      '---\n',
      '...\n',
      '~',
      '1',
      '0x',
      '\u0000',
      '\uFEFF',
      'é',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        try {
          parseDocument(pieces.join(''), 'x.yaml', new Report())
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigurationError)
        }
      }),
      { numRuns: 1500 },
    )
  })
})

/** Every text that a person might see: the problems in all their parts, or the warnings. */
async function everythingSaid(file: string, env: Record<string, string>): Promise<readonly string[]> {
  try {
    const { warnings } = await loadConfig({ file, env, now: NOW })
    return warnings.map((warning) => JSON.stringify(warning))
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    return [...error.problems.map((problem) => JSON.stringify(problem)), error.message, String(error.stack)]
  }
}

function assign(tree: object, [first = '', ...rest]: readonly string[], leaf: unknown): void {
  const map = tree as Record<string, unknown> // a plain object of this test's own making
  if (rest.length === 0) map[first] = leaf
  else {
    map[first] ??= {}
    assign(map[first] as object, rest, leaf) // made one line above, or part of the tree
  }
}
