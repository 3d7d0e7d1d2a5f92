import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { describe, expect, test } from 'vitest'
import { createLogger } from '../../src/telemetry/logger.ts'
import { prettyLine } from '../../src/telemetry/pretty.ts'
import { SecretScrubber } from '../../src/telemetry/secrets.ts'

function written(log: (logger: Logger) => void, { debug = false, pretty = false } = {}): string {
  const dir = mkdtempSync(join(tmpdir(), 'tap-logger-'))
  const fd = openSync(join(dir, 'log'), 'w')
  const scrubber = new SecretScrubber()
  scrubber.addBasic('principal', 'pass"word/ü')
  scrubber.add('t0ken-of-the-page')
  try {
    log(createLogger({ debug, fd, pretty, scrubber }))
    return readFileSync(join(dir, 'log'), 'utf8')
  } finally {
    closeSync(fd)
    rmSync(dir, { recursive: true })
  }
}

describe('secrets', () => {
  const basic = Buffer.from('principal:pass"word/ü').toString('base64')
  test.each([
    ['in the message', (log: Logger) => log.info('it is pass"word/ü')],
    ['in a field', (log: Logger) => log.warn({ deep: { in: ['a pass"word/ü here'] } }, 'x')],
    ['in an error', (log: Logger) => log.error({ err: new Error('refused: pass"word/ü', { cause: new Error('pass"word/ü') }) }, 'x')],
    ['in a URL', (log: Logger) => log.info(`https://principal:${encodeURIComponent('pass"word/ü')}@host/`)],
    ['in an Authorization header', (log: Logger) => log.debug({ headers: { authorization: `Basic ${basic}` } }, 'x')],
    ['of the health page', (log: Logger) => log.info('Bearer t0ken-of-the-page')],
  ])('never appear %s', (_where, log) => {
    for (const pretty of [false, true]) {
      const text = written(log, { debug: true, pretty })
      expect(text).toContain('[secret]')
      for (const secret of ['pass"word/ü', 'pass\\"word/ü', encodeURIComponent('pass"word/ü'), basic, 't0ken'])
        expect(text).not.toContain(secret)
    }
  })
})

test('one JSON object a line, with time and level in words; debug only where it is on', () => {
  const lines = written((log) => {
    log.debug('not shown')
    log.info({ part: 'tap/clicksBlocked' }, 'Pull Started')
    log.error({ err: Object.assign(new Error('gone'), { code: 'ECONNRESET' }) }, 'x')
  })
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { time: string })
  expect(lines.every(({ time }) => /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(time))).toBe(true)
  expect(lines.map((line) => ({ ...line, time: '' }))).toEqual([
    { level: 'info', time: '', part: 'tap/clicksBlocked', msg: 'Pull Started' },
    { level: 'error', time: '', err: { type: 'Error', message: 'gone', code: 'ECONNRESET' }, msg: 'x' },
  ])
})

test('a line for a terminal cannot drive the terminal', () => {
  const line = prettyLine(
    JSON.stringify({ level: 'info', time: '2026-11-20T10:00:00.123Z', msg: 'subject \u001b[2J\u001b]0;x\u0007 end\rstart', n: 1 }),
  )
  expect(line).toBe('10:00:00.123 INFO  subject  end\\rstart  n=1\n')
})
