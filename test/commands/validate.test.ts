import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { validate } from '../../src/commands/validate.ts'
import { temporaryFolder } from '../pipeline/support.ts'
import { printedBy } from './support.ts'

async function writeConfig(buffer: object): Promise<string> {
  const dir = await temporaryFolder()
  const config = join(dir, 'config.json')
  const services = { clicksBlocked: { start_time_in_utc_format: new Date(Date.now() - 8 * 86_400_000).toISOString() }, messagesBlocked: {} }
  const content = {
    globals: { id: '1', name: 'test', persistence: { type: 'filesystem', config: { directory_name: dir } } },
    outputs: { console_1: { type: 'console' } },
    buffer,
    inputs: { tap: { type: 'proofpoint_tap', id: '12345', credentials: { username: 'u', password: 'p' }, services } },
  }
  await writeFile(config, JSON.stringify(content))
  return config
}

test('a start too far back is a mistake where no state says otherwise, and a warning where only the brokers know', async () => {
  const embedded = await writeConfig({ type: 'embedded' })
  await expect(validate({ config: embedded })).rejects.toThrow('clicksBlocked.start_time_in_utc_format: must be at most 7 days back')
  const kafka = await writeConfig({ type: 'kafka', config: { brokers: ['127.0.0.1:1'] } })
  const { code, text } = await printedBy(() => validate({ config: kafka }))
  expect(code).toBe(0)
  expect(text).toContain('ok       state: at the brokers, looked at with --connect\n')
  expect(text.match(/warning .*start_time_in_utc_format: is more than 7 days back/g)).toHaveLength(1)
})
