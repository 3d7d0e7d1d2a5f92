import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { openDeadLetters } from '../../src/commands/buffer.ts'
import { load } from '../../src/commands/load.ts'
import { DEAD_LETTERS_MAX, RetriesTakenError } from '../../src/pipeline/dead-letters.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import { deadLetterOf, readShipment, unitOf } from '../contract/buffer-units.ts'
import { silent } from '../pipeline/support.ts'
import { describeKafka } from '../support/kafka.ts'
import { collectorBeside, type BufferKind } from './dead-letters-world.ts'

const suite = (kind: BufferKind) => (): void => {
  test('beside a running collector they are listed with reason and bytes, in one line each whatever is in them', async () => {
    const { buffer, printed, start } = await collectorBeside(kind)
    expect(await printed('list')).toEqual({ code: 0, text: 'There are no dead letters.\n' })
    await buffer.commit('one', start('one'), [deadLetterOf('{"n":1}', 'one', 'too\nlong')])
    await buffer.append(unitOf({ deadLetters: [deadLetterOf('\u001b[2J', null, 'no object')] }))
    expect((await printed('list')).text).toBe(
      '1970-01-01T00:00:00.006Z  one  12345/clicksBlocked  too\\u000along  {"n":1}\n' +
        '1970-01-01T00:00:00.006Z  refused by the source  12345/clicksBlocked  no object  \\u001b[2J\n',
    )
    const json = (await printed('list', ['one'], true)).text.trimEnd().split('\n').map((line): unknown => JSON.parse(line))
    expect(json).toMatchObject([{ output: 'one', reason: 'too\nlong', event: '{"n":1}', size: 7 }])
  })

  test('retry sends what an output has refused to that output alone, and says why the rest cannot go', async () => {
    const { buffer, printed, counts, sentTo, start } = await collectorBeside(kind)
    const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    await buffer.commit('one', start('one'), [deadLetterOf('{"n":1}', 'one'), deadLetterOf('{"n":2}', 'one')])
    await buffer.commit('two', start('two'), [deadLetterOf('{"n":3}', 'two')])
    await buffer.append(unitOf({ deadLetters: [deadLetterOf('[]', null)] }))
    expect(await printed('retry', ['one'])).toEqual({ code: 0, text: 'one: 2 of 2 sent again\n' })
    expect(await counts()).toEqual([0, 1, 1])
    expect((await printed('retry')).text).toBe('two: 1 of 1 sent again\n')
    expect(told.mock.calls.flat().join('')).toContain('1 cannot be sent again: the source refused it')
    told.mockRestore()
    expect(await counts()).toEqual([0, 0, 1])
    expect((await printed('retry', ['one'])).text).toBe('There is nothing to send again.\n')
    expect((await sentTo('one')).match(/"n":\d/g)).toEqual(['"n":1', '"n":2'])
    expect((await sentTo('two')).match(/"n":\d/g)).toEqual(['"n":3'])
  })

  test('drop removes those of an output, or all', async () => {
    const { buffer, printed, counts, start } = await collectorBeside(kind)
    await buffer.commit('one', start('one'), [deadLetterOf('{"n":1}', 'one')])
    await buffer.commit('two', start('two'), [deadLetterOf('{"n":3}', 'two')])
    await buffer.append(unitOf({ deadLetters: [deadLetterOf('[]', null)] }))
    expect((await printed('drop', ['two'])).text).toBe('1 dead letter dropped\n')
    expect(await counts()).toEqual([1, 0, 1])
    expect((await printed('drop')).text).toBe('2 dead letters dropped\n')
    expect(await counts()).toEqual([0, 0, 0])
  })

  test('an output that has refused too many waits until they are dropped; the others go on', async () => {
    const { buffer, printed, counts, start } = await collectorBeside(kind)
    const letter = () => deadLetterOf('{}', 'one')
    await buffer.append(unitOf({ chunks: [['{"n":1}']] }))
    await buffer.commit('one', start('one'), Array.from({ length: DEAD_LETTERS_MAX }, letter))
    const { cursor } = await readShipment(buffer, 'one', start('one'))
    const refused = await buffer.commit('one', cursor, [letter()]).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(RetryableError)
    expect(String(refused)).toMatch(/output one has refused so many.*dead-letters drop/)
    expect((await buffer.snapshot()).outputs.every(({ backlogEvents }) => backlogEvents > 0)).toBe(true)
    await buffer.commit('two', cursor, [deadLetterOf('{}', 'two')])
    await buffer.assertRoom()
    await printed('drop', ['one'])
    await buffer.commit('one', cursor, [letter()])
    expect(await counts()).toEqual([1, 1, 0])
  })

  test('two that send again at the same time would send the same ones: the second one says so, and may go when the first has ended', async () => {
    const { buffer, printed, config, start } = await collectorBeside(kind)
    await buffer.commit('one', start('one'), [deadLetterOf('{"n":1}', 'one')])
    const first = await openDeadLetters((await load({ config })).config, silent)
    const claim = await first.claimRetries()
    const second = await printed('retry').catch((error: unknown) => error)
    expect(second).toBeInstanceOf(RetriesTakenError)
    expect(String(second)).toMatch(/another "dead-letters retry" is under way.*Nothing was sent/)
    expect(claim.lost.aborted).toBe(false)
    expect((await printed('list')).text).toContain('{"n":1}')
    await claim.release()
    await first.close()
    expect((await printed('retry')).text).toBe('one: 1 of 1 sent again\n')
  })
}

describe('on the embedded buffer', suite('embedded'))
test('a lock that cannot be had is named, and not the buffer', async () => {
  const { dir, buffer, printed, start } = await collectorBeside('embedded')
  await buffer.commit('one', start('one'), [deadLetterOf('{"n":1}', 'one')])
  // Nobody is refused a file by its mode who is root.
  await mkdir(join(dir, 'retries.lock'))
  const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  onTestFinished(() => told.mockRestore())
  expect((await printed('retry')).code).toBe(1)
  expect(told.mock.calls.flat().join('')).toMatch(/^DiskForbidden \[CODE:0504\] .*: locking \S+\/retries\.lock: this user may not write there/)
})

describeKafka('on Kafka', suite('kafka'))
