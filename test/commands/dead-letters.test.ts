import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { deadLetters } from '../../src/commands/dead-letters.ts'
import { DEAD_LETTERS_MAX } from '../../src/pipeline/dead-letters.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import { deadLetterOf, openShares, readShipment, unitOf } from '../contract/buffer-units.ts'
import { openBuffer, temporaryFolder } from '../pipeline/support.ts'
import { printedBy } from './support.ts'

/** A collector's folder with two outputs to files; the buffer stays open, as a running collector has it. */
async function setUp() {
  const dir = await temporaryFolder()
  const config = join(dir, 'config.json')
  const file = (name: string) => ({ type: 'file', config: { path: join(dir, `${name}.ndjson`) } })
  const content = {
    globals: { id: '1', name: 'test', persistence: { type: 'filesystem', config: { directory_name: dir } } },
    outputs: { one: file('one'), two: file('two') },
    inputs: { tap: { type: 'proofpoint_tap', id: '12345', credentials: { username: 'u', password: 'p' }, services: { clicksBlocked: {} } } },
  }
  await writeFile(config, JSON.stringify(content))
  const buffer = await openBuffer(dir)
  await openShares(buffer, [{ name: 'one', startFrom: 'now' }, { name: 'two', startFrom: 'now' }])
  const printed = (action: 'list' | 'retry' | 'drop', output: readonly string[] = [], json = false) =>
    printedBy(() => deadLetters({ config, action, output, ...(json && { json }) }))
  const counts = async () => {
    const { outputs, sourceDeadLetters } = await buffer.snapshot()
    return [...outputs.map((output) => output.deadLetters), sourceDeadLetters]
  }
  return { dir, buffer, printed, counts, sentTo: (name: string) => readFile(join(dir, `${name}.ndjson`), 'utf8').catch(() => '') }
}

test('beside a running collector they are listed with reason and bytes, in one line each whatever is in them', async () => {
  const { buffer, printed } = await setUp()
  expect(await printed('list')).toEqual({ code: 0, text: 'There are no dead letters.\n' })
  await buffer.commit('one', '0', [deadLetterOf('{"n":1}', 'one', 'too\nlong')])
  await buffer.append(unitOf({ deadLetters: [deadLetterOf('\u001b[2J', null, 'no object')] }))
  expect((await printed('list')).text).toBe(
    '1970-01-01T00:00:00.006Z  one  12345/clicksBlocked  too\\u000along  {"n":1}\n' +
      '1970-01-01T00:00:00.006Z  refused by the source  12345/clicksBlocked  no object  \\u001b[2J\n',
  )
  const json = (await printed('list', ['one'], true)).text.trimEnd().split('\n').map((line): unknown => JSON.parse(line))
  expect(json).toMatchObject([{ output: 'one', reason: 'too\nlong', event: '{"n":1}', size: 7 }])
})

test('retry sends what an output has refused to that output alone, and says why the rest cannot go', async () => {
  const { buffer, printed, counts, sentTo } = await setUp()
  const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  await buffer.commit('one', '0', [deadLetterOf('{"n":1}', 'one'), deadLetterOf('{"n":2}', 'one')])
  await buffer.commit('two', '0', [deadLetterOf('{"n":3}', 'two')])
  await buffer.append(unitOf({ deadLetters: [deadLetterOf('[]', null)] }))
  expect(await printed('retry', ['one'])).toEqual({ code: 0, text: 'one: 2 of 2 sent again\n' })
  expect(await counts()).toEqual([0, 1, 1])
  expect((await printed('retry')).text).toBe('two: 1 of 1 sent again\n')
  expect(told.mock.calls.flat().join('')).toContain('1 cannot be sent again: the source refused it')
  told.mockRestore()
  expect(await counts()).toEqual([0, 0, 1])
  expect((await sentTo('one')).match(/"n":\d/g)).toEqual(['"n":1', '"n":2'])
  expect((await sentTo('two')).match(/"n":\d/g)).toEqual(['"n":3'])
})

test('drop removes those of an output, or all', async () => {
  const { buffer, printed, counts } = await setUp()
  await buffer.commit('one', '0', [deadLetterOf('{"n":1}', 'one')])
  await buffer.commit('two', '0', [deadLetterOf('{"n":3}', 'two')])
  await buffer.append(unitOf({ deadLetters: [deadLetterOf('[]', null)] }))
  expect((await printed('drop', ['two'])).text).toBe('1 dead letters dropped\n')
  expect(await counts()).toEqual([1, 0, 1])
  expect((await printed('drop')).text).toBe('2 dead letters dropped\n')
  expect(await counts()).toEqual([0, 0, 0])
})

test('an output that has refused too many waits until they are dropped; the others go on', async () => {
  const { buffer, printed, counts } = await setUp()
  const letter = deadLetterOf('{}', 'one')
  await buffer.append(unitOf({ chunks: [['{"n":1}']] }))
  await buffer.commit('one', '0', Array.from({ length: DEAD_LETTERS_MAX }, () => letter))
  const { cursor } = await readShipment(buffer, 'one', '0')
  await expect(buffer.commit('one', cursor, [letter])).rejects.toThrow(/output one has refused so many.*dead-letters drop/)
  await expect(buffer.commit('one', cursor, [letter])).rejects.toBeInstanceOf(RetryableError)
  expect((await buffer.snapshot()).outputs.map(({ backlogEvents }) => backlogEvents)).toEqual([1, 1])
  await buffer.commit('two', cursor, [deadLetterOf('{}', 'two')])
  await buffer.assertRoom()
  await printed('drop', ['one'])
  await buffer.commit('one', cursor, [letter])
  expect(await counts()).toEqual([1, 1, 0])
})
