import { describe, expect, test } from 'vitest'
import { encodeFrames, syslogHeader } from '../../../src/sinks/syslog/frames.ts'
import { batchOf } from '../../contract/batches.ts'

const settings = { hostName: 'collector-1', tagOf: (inputId: string, service: string) => `my.app.${inputId}.${service}` }

/** As a receiver reads them: a length, a space, so many bytes. */
function framesOf(bytes: Buffer): string[] {
  const frames: string[] = []
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(' ', at)
    const digits = bytes.toString('latin1', at, space)
    expect(digits).toMatch(/^[1-9]\d*$/)
    at = space + 1 + Number(digits)
    expect(at).toBeLessThanOrEqual(bytes.length)
    frames.push(bytes.toString('utf8', space + 1, at))
  }
  return frames
}

describe('a frame', () => {
  const head = '<14>1 2023-11-14T22:13:20.123Z collector-1 ProofpointTAP - clicksBlocked [tap@32473 input="input-1" tag="my.app.input-1.clicksBlocked"] '
  const id = '"@devo_pulling_id":"1700000000123"'

  test('counts bytes, and holds the event as it is', () => {
    const texts = ['{"n": 12345678901234567890,"s":"Grüße 😀"}', '{}', `{"a":"${'ä'.repeat(100_000)}"}`]
    expect(framesOf(encodeFrames(batchOf(texts), settings))).toEqual([
      `${head}{"n": 12345678901234567890,"s":"Grüße 😀",${id}}`,
      `${head}{${id}}`,
      `${head}{"a":"${'ä'.repeat(100_000)}",${id}}`,
    ])
  })

  test('adds the environment, and nothing that the event brings', () => {
    const batch = batchOf(['{"a":1}', '{"@devo_pulling_id":"7"}'], { environment: 'prod' })
    expect(framesOf(encodeFrames(batch, settings))).toEqual([
      `${head}{"a":1,${id},"@devo_environment":"prod"}`,
      `${head}{"@devo_pulling_id":"7","@devo_environment":"prod"}`,
    ])
  })

  test('an empty batch is none', () => {
    expect(encodeFrames(batchOf([]), settings)).toHaveLength(0)
  })
})

describe('the header', () => {
  const header = (pull: { inputId?: string; service?: string }, hostName = 'h', tag = 't') =>
    syslogHeader({ pulledAt: 0, inputId: 'i', service: 's', ...pull }, { hostName, tagOf: () => tag }).toString()

  test.each([
    ['a host name with spaces and umlauts', header({}, 'my höst\n'), '<14>1 1970-01-01T00:00:00.000Z my-h-st- ProofpointTAP - s [tap@32473 input="i" tag="t"] '],
    ['no host name', header({}, ''), '<14>1 1970-01-01T00:00:00.000Z - ProofpointTAP - s [tap@32473 input="i" tag="t"] '],
    ['a long host name', header({}, 'h'.repeat(300)), `<14>1 1970-01-01T00:00:00.000Z ${'h'.repeat(255)} ProofpointTAP - s [tap@32473 input="i" tag="t"] `],
    ['a long service', header({ service: 's'.repeat(40) }), `<14>1 1970-01-01T00:00:00.000Z h ProofpointTAP - ${'s'.repeat(32)} [tap@32473 input="i" tag="t"] `],
    ['an id that would end its value', header({ inputId: 'a"b]c\\d\ne ü' }), '<14>1 1970-01-01T00:00:00.000Z h ProofpointTAP - s [tap@32473 input="a\\"b\\]c\\\\d-e ü" tag="t"] '],
  ])('%s', (_what, seen, expected) => {
    expect(seen).toBe(expected)
  })
})
