import { rmSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import { openShares } from '../../contract/buffer-units.ts'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import { optionsFor } from './fixtures.ts'

test('a thread that is gone fails whoever waits and whoever calls, and not as something that may go well later', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'tap-buffer-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const posted = vi.spyOn(Worker.prototype, 'postMessage')
  onTestFinished(() => posted.mockRestore())
  const buffer = await openEmbeddedBuffer(optionsFor(dir))
  const worker = posted.mock.contexts.find((context) => context instanceof Worker)
  const cursor = (await openShares(buffer, [{ name: 'devo_1', startFrom: 'oldest' }])).get('devo_1')?.cursor ?? ''
  const waiting = expect(buffer.waitBeyond('devo_1', cursor, new AbortController().signal)).rejects.toThrow('buffer')
  await worker?.terminate()
  await waiting
  const error: unknown = await buffer.count('pool', 1, 0).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(Error)
  expect(error).not.toBeInstanceOf(RetryableError)
  await buffer.close()
})
