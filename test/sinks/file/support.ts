import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { onTestFinished } from 'vitest'
import { systemClock } from '../../../src/pipeline/clock.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import type { FileConfig } from '../../../src/sinks/file/config.ts'
import { createFileSink } from '../../../src/sinks/file/sink.ts'

export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'tap-file-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

export function sinkOf(path: string, config: Partial<FileConfig> = {}): Sink {
  const sink = createFileSink({ path, rotateBytes: null, gzip: false, ...config }, { clock: systemClock })
  onTestFinished(() => sink.close())
  return sink
}

/** The lines of all files of a folder, in the order of their names; throws where one ends in the middle of a line or of a member. */
export function linesIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap(({ parentPath, name }) => linesOf(join(parentPath, name)))
}

export function linesOf(path: string): string[] {
  const bytes = readFileSync(path)
  if (bytes.length === 0) return []
  const lines = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString().split('\n')
  if (lines.pop() !== '') throw new Error(`${path} ends in the middle of a line`)
  return lines
}

export const idsOf = (lines: readonly string[]): string[] => lines.map((line) => (JSON.parse(line) as { id: string }).id) // as batchesOf makes them

/** A file system of so many MiB; it goes with the test. */
export function tinyDisk(path: string, mebibytes: number): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', path], { stdio: 'pipe' })
}

export function mountIsAllowed(): boolean {
  const path = mkdtempSync(join(tmpdir(), 'tap-file-'))
  try {
    tinyDisk(path, 1)
    execFileSync('umount', [path])
    return true
  } catch (error) {
    console.warn(`SKIPPED: tests of a full and a read-only disk, which mount a small tmpfs: ${String(error)}`)
    return false
  } finally {
    rmSync(path, { recursive: true })
  }
}
