import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import { bufferContract } from '../../contract/buffer-suite.ts'
import { optionsFor } from './fixtures.ts'

for (const inThread of [false, true]) {
  bufferContract(inThread ? 'embedded, in the calling thread' : 'embedded, in its worker', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'tap-buffer-'))
    return {
      open: () => openEmbeddedBuffer(optionsFor(dir, { inThread })),
      cleanup: async () => rmSync(dir, { recursive: true, force: true }),
    }
  })
}
