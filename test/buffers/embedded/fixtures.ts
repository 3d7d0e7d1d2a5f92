import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import type { EmbeddedBufferOptions } from '../../../src/buffers/embedded/embedded.ts'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import type { EventBuffer } from '../../../src/pipeline/buffer.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { HOUR_MS } from '../../contract/buffer-units.ts'

export const MIB = 1024 * 1024
const silent = pino({ level: 'silent' })

/** A folder that is gone when the test is over. */
export function temporaryFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'tap-buffer-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

export function optionsFor(dir: string, changes: Partial<EmbeddedBufferOptions> = {}): EmbeddedBufferOptions {
  return { dir, retentionMs: 24 * HOUR_MS, maxSizeBytes: 256 * MIB, clock: systemClock, log: silent, ...changes }
}

/** Opens the buffer and closes it when the test is over. */
export async function openFor(dir: string, changes: Partial<EmbeddedBufferOptions> = {}): Promise<EventBuffer> {
  const buffer = await openEmbeddedBuffer(optionsFor(dir, changes))
  onTestFinished(() => buffer.close())
  return buffer
}
