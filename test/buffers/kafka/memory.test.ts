import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { describeKafka, sharedBroker } from '../../support/kafka.ts'

const MIB = 1024 * 1024

describeKafka('200 MB in the topic', () => {
  test('do not come into memory, neither while the receiver takes nothing nor on their way', { timeout: 60_000 }, async () => {
    const script = fileURLToPath(new URL('./memory-main.ts', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [script, `m${randomUUID()}`, ...(await sharedBroker())])
    // memory-main.ts says exactly this.
    const { appended, delivered, first, held, peak } = JSON.parse(stdout) as Record<'appended' | 'delivered' | 'first' | 'held' | 'peak', number>
    expect(delivered).toBe(appended)
    expect(held - first).toBeLessThan(40 * MIB)
    expect(peak - first).toBeLessThan(100 * MIB)
  })
})
