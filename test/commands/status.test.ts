import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openEmbeddedBuffer } from '../../src/buffers/embedded/embedded.ts'
import { status } from '../../src/commands/status.ts'
import { openShares, readShipment } from '../contract/buffer-units.ts'
import { position, silent, temporaryFolder, unit } from '../pipeline/support.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { printedBy } from './support.ts'

const HOUR_MS = 3_600_000

async function writeConfig(dir: string): Promise<string> {
  const config = join(dir, 'config.json')
  const content = {
    globals: { id: '1', name: 'test', persistence: { type: 'filesystem', config: { directory_name: dir } } },
    outputs: { console_1: { type: 'console' }, console_2: { type: 'console' } },
    inputs: { tap: { type: 'proofpoint_tap', id: '12345', credentials: { username: 'u', password: 'p' }, services: { clicksBlocked: {} } } },
  }
  await writeFile(config, JSON.stringify(content))
  return config
}

async function printed(options: { config: string; json?: true }): Promise<string> {
  const { code, text } = await printedBy(() => status(options))
  expect(code).toBe(0)
  return text
}

interface Report {
  readonly outputs: readonly { readonly output: string; readonly missed_events: number }[]
}

async function missedEvents(config: string): Promise<(string | number)[][]> {
  // The JSON of `status`, of which the contract says that it has these.
  const { outputs } = JSON.parse(await printed({ config, json: true })) as Report
  return outputs.map(({ output, missed_events }) => [output, missed_events])
}

test('what an output was too long off for is told, after each later start as well', async () => {
  const dir = await temporaryFolder()
  const config = await writeConfig(dir)
  expect(await missedEvents(config)).toEqual([['console_1', 0], ['console_2', 0]])
  const clock = new VirtualClock(Date.UTC(2026, 10, 20))
  const open = () => openEmbeddedBuffer({ dir, retentionMs: HOUR_MS, maxSizeBytes: 1e9, clock, log: silent, inThread: true })
  const [one, two] = ['console_1', 'console_2'].map((name) => ({ name, startFrom: 'now' as const }))
  if (one === undefined || two === undefined) throw new Error('two outputs')

  const buffer = await open()
  await openShares(buffer, [one, two])
  await openShares(buffer, [one])
  await buffer.append(unit([['a', 'b', 'c']], { pulledAt: clock.now() }))
  await buffer.commit('console_1', (await readShipment(buffer, 'console_1', '0')).cursor, [])
  await clock.advance(3 * HOUR_MS)
  await openShares(buffer, [one, two])
  await buffer.close()
  await (await open()).close()

  expect(await missedEvents(config)).toEqual([['console_1', 0], ['console_2', 3]])
  const text = await printed({ config })
  expect(text).toContain('gap in console_2: 3 events were gone from the buffer before it had them\n')
  expect(text).not.toContain('gap in console_1')
})

test('a time that is lost is told from when to when, and why', async () => {
  const dir = await temporaryFolder()
  const config = await writeConfig(dir)
  const buffer = await openEmbeddedBuffer({ dir, retentionMs: HOUR_MS, maxSizeBytes: 1e9, clock: new VirtualClock(Date.UTC(2026, 10, 29)), log: silent, inThread: true })
  await buffer.startService('12345', 'clicksBlocked', Date.UTC(2026, 10, 20), null)
  const gap = { from: Date.UTC(2026, 10, 20), to: Date.UTC(2026, 10, 22, 0, 10), recordedAt: Date.UTC(2026, 10, 29), reason: 'too far into the past' }
  await buffer.append(unit([], { position: position({ settled: gap.to, gaps: [gap] }) }))
  await buffer.close()
  expect(await printed({ config })).toContain('gap in tap/clicksBlocked: 2026-11-20T00:00:00.000Z to 2026-11-22T00:10:00.000Z is lost: too far into the past\n')
})
