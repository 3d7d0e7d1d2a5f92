import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openDeadLettersBeside } from '../../../src/buffers/embedded/dead-letters.ts'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import { readSnapshot } from '../../../src/buffers/embedded/reader.ts'
import { RetriesTakenError } from '../../../src/pipeline/dead-letters.ts'
import { codeOf, FatalError } from '../../../src/pipeline/errors.ts'
import { numbered, readShipment, unitOf } from '../../contract/buffer-units.ts'
import { startChild } from './child.ts'
import { openFor, optionsFor, temporaryFolder } from './fixtures.ts'

test('a second collector on the folder is told at once who holds it; readers are not in the way', async () => {
  const dir = temporaryFolder()
  const child = await startChild('hold', dir)
  const began = performance.now()
  const opening = openEmbeddedBuffer(optionsFor(dir))
  await expect(opening).rejects.toBeInstanceOf(FatalError)
  await expect(opening).rejects.toThrow(new RegExp(`in use by process ${child.pid} on host ${hostname()} since \\d{4}-.*Stop that collector`))
  expect(performance.now() - began).toBeLessThan(3000)
  expect((await readSnapshot(dir)).outputs).toMatchObject([{ name: 'devo', backlogEvents: 3 }])
})

test('kill -9 frees the folder, and nothing that was appended is gone', async () => {
  const dir = temporaryFolder()
  const child = await startChild('hold', dir)
  await child.kill()
  expect((await readSnapshot(dir)).outputs).toMatchObject([{ name: 'devo', backlogEvents: 3 }])
  const buffer = await openFor(dir)
  expect((await readShipment(buffer, 'devo', '0')).events).toEqual(numbered(0, 3))
  expect(JSON.parse(readFileSync(join(dir, 'buffer.lock.json'), 'utf8'))).toMatchObject({ pid: process.pid })
})

test('the folder is held against this process too, and free after close', async () => {
  const dir = temporaryFolder()
  const first = await openFor(dir)
  const refused: unknown = await openEmbeddedBuffer(optionsFor(dir)).catch((error: unknown) => error)
  expect(refused).toMatchObject({ message: expect.stringContaining(`in use by process ${process.pid}`) as string })
  // The code has come out of the thread with it.
  expect(codeOf(refused)).toBe('FolderInUse')
  await expect(openEmbeddedBuffer(optionsFor(dir, { inThread: true }))).rejects.toThrow(/in use by/)
  // Neither the attempts nor a reader have dropped the holder's locks.
  await readSnapshot(dir)
  const child = startChild('hold', dir)
  await expect(child).rejects.toThrow(/in use by process/)
  await first.append(unitOf({ chunks: [numbered(0, 3)] }))
  await first.close()
  const second = await openFor(dir)
  expect((await readShipment(second, 'devo', '0')).eventsRead).toBe(3)
})

test('who sends dead letters again holds off another process, and leaves nothing behind when it is killed', async () => {
  const dir = temporaryFolder()
  const child = await startChild('retry', dir)
  const store = openDeadLettersBeside(dir)
  await expect(store.claimRetries()).rejects.toBeInstanceOf(RetriesTakenError)
  await child.kill()
  const claim = await store.claimRetries()
  expect(claim.lost.aborted).toBe(false)
  await claim.release()
  await store.close()
})
