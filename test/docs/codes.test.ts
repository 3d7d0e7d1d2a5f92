import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CODES, label } from '../../src/pipeline/codes.ts'
import { codedErrors, logCalls, namesIn, parsed, rawComplaints, sources } from './source-calls.ts'

const SOURCES = sources()
const PAGE = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
/** Each row begins with the label, as it stands in the log. */
const ROWS = [...PAGE.matchAll(/^\| `(\w+) \[CODE:(\d{4})\]` \|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|$/gm)]

const without = (found: readonly { readonly where: string; readonly hasCode: boolean }[]): readonly string[] => found.filter(({ hasCode }) => !hasCode).map(({ where }) => where)

test('every line of the log from warn on has a code', () => {
  const calls = logCalls(SOURCES)
  expect(calls.length).toBeGreaterThan(40)
  expect(without(calls)).toEqual([])
})

test('every error that a person may read has a code', () => {
  const errors = codedErrors(SOURCES)
  expect(errors.length).toBeGreaterThan(100)
  expect(without(errors)).toEqual([])
})

test('nothing is written to standard error past those who put the code in front', () => {
  // tell.ts puts it there; the other draws the bar of a replay.
  expect(rawComplaints(SOURCES)).toEqual(['src/commands/replay-progress.ts'])
})

test('no number is given twice, and each has four digits', () => {
  const numbers = Object.values(CODES)
  expect(numbers.filter((number, index) => numbers.indexOf(number) !== index)).toEqual([])
  expect(numbers.filter((number) => number < 1 || number > 9_999)).toEqual([])
})

test('the page has a row for each code, and for nothing else, in the order of the numbers', () => {
  const labels = Object.entries(CODES)
    .toSorted(([, a], [, b]) => a - b)
    .map(([name]) => label(name as keyof typeof CODES)) // they are its keys
  expect(ROWS.map(([, name, number]) => `${name ?? ''} [CODE:${number ?? ''}]`)).toEqual(labels)
  expect(PAGE.match(/\[CODE:\d{4}\]` \|/g)).toHaveLength(labels.length)
})

test('each row says what it means, what is lost or late, and what to do', () => {
  for (const [row, , , ...cells] of ROWS) expect(cells.every((cell) => cell.trim() !== ''), row).toBe(true)
})

test('every code is used', () => {
  const used = namesIn(SOURCES)
  expect(Object.keys(CODES).filter((name) => !used.has(name))).toEqual([])
})

test('what has no code is found', () => {
  const bad = parsed(
    'src/bad.ts',
    `class OwnError extends RetryableError {}
     class FixedError extends FatalError { constructor() { super('x', { code: 'Gap' }) } }
     class LooseError extends FatalError { constructor() { super('x') } }
     log.warn('a'); this.#log.error({ output }, 'b'); log[isNews ? 'warn' : 'debug']({}, 'c'); log.warn({ code: 'Gap' }, 'd'); log.info('e')
     throw new RetryableError('f'); throw new OwnError('g', { cause }); throw new OwnError('h', { code: 'Gap', cause }); throw new FixedError()
     process.stderr.write('i')`,
  )
  expect(without(logCalls([bad])).map((where) => where.replace(/^\S+ /, ''))).toEqual(["log.warn('a')", "this.#log.error({ output }, 'b')", "log[isNews ? 'warn' : 'debug']({}, 'c')"])
  expect(without(codedErrors([bad])).map((where) => where.replace(/^\S+ /, ''))).toEqual(["super('x')", "new RetryableError('f')", "new OwnError('g', { cause })"])
  expect(rawComplaints([bad])).toEqual(['src/bad.ts'])
})
