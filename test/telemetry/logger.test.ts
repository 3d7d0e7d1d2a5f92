import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { describe, expect, test } from 'vitest'
import { FatalError, RetryableError } from '../../src/pipeline/errors.ts'
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

test('a line with a code begins with its label, and the code of its error counts more', () => {
  const log = (logger: Logger): void => {
    const child = logger.child({ output: 'devo_1' })
    child.warn({ code: 'DeliveryFailed', attempt: 2 }, 'sent again')
    child.error({ code: 'DeliveryFailed', err: new RetryableError('a.crt', { code: 'ClientCertificateRefused' }) }, 'sent again')
    child.error({ code: 'DeliveryFailed', err: new Error('outer', { cause: new FatalError('inner', { code: 'DiskFull' }) }) }, 'sent again')
    child.error({ code: 'DeliveryFailed', err: Object.assign(new Error('x'), { code: 'DiskFull' }) }, 'sent again')
  }
  const labels = ['DeliveryFailed [CODE:0700]', 'ClientCertificateRefused [CODE:0802]', 'DiskFull [CODE:0502]', 'DeliveryFailed [CODE:0700]']
  const lines = written(log)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { msg: string })
  expect(lines.map(({ msg }) => msg)).toEqual(labels.map((label) => `${label} sent again`))
  expect(lines[0]).toEqual({ level: 'warn', time: expect.any(String) as string, output: 'devo_1', attempt: 2, msg: 'DeliveryFailed [CODE:0700] sent again' })
  for (const label of labels) expect(written(log, { pretty: true })).toContain(` ${label} sent again  output=devo_1`)
})

test('of a secret that begins with another one nothing stays', () => {
  const scrubber = new SecretScrubber()
  for (const secret of ['abcd', 'abcd-and-more']) scrubber.add(secret)
  expect(scrubber.scrub('it is abcd-and-more, or abcd')).toBe('it is [secret], or [secret]')
})

test.each(['8080', 'true', 'null', 'level', '"},"a":{"'])('a line stays JSON where the secret is %s', (secret) => {
  const scrubber = new SecretScrubber()
  scrubber.add(secret)
  const clean = scrubber.scrubJson(JSON.stringify({ level: 'warn', port: 8080, isOn: true, none: null, list: [18080, secret], msg: `it is ${secret}` }))
  expect(Object.keys(JSON.parse(clean) as object)).toHaveLength(6)
  expect(clean).toContain('it is [secret]')
  expect(clean).not.toContain(JSON.stringify(secret).slice(1, -1))
})
