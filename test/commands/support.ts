import { vi } from 'vitest'
import type { CollectorConfig } from '../../src/config/types.ts'

/** A checked configuration that has nothing in it yet. */
export function collectorConfig(overrides: Partial<CollectorConfig> = {}): CollectorConfig {
  return {
    root: '/',
    name: 'test',
    id: 'test',
    debug: false,
    stateDir: '/state',
    internalEvents: false,
    outputs: [],
    http: { enabled: false, host: '127.0.0.1', isHostGiven: false, port: 0, token: null },
    buffer: { type: 'embedded', retentionMs: 0, maxSizeBytes: 0 },
    inputs: [],
    ...overrides,
  }
}

/** What a command writes to standard output, and its exit code. */
export async function printedBy(command: () => Promise<number>): Promise<{ readonly code: number; readonly text: string }> {
  let text = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += String(chunk)
    return true
  })
  try {
    const code = await command()
    return { code, text }
  } finally {
    spy.mockRestore()
  }
}
