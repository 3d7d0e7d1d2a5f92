import type avsc from 'avsc'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { deadLetterCodec, decodeDeadLetter, encodeDeadLetter } from '../../../src/buffers/kafka/dead-letter.ts'
import { readSchema, SingleObjectCodec, UndecodableRecordError } from '../../../src/buffers/kafka/single-object.ts'
import type { DeadLetter } from '../../../src/pipeline/unit.ts'
import { anyTime, bytes, hex, vectorsOf, type Vector } from './vectors/vectors.ts'

const letterOf = ({ value }: Vector): DeadLetter => {
  const { window_from: from, window_to: to } = value
  const textOrNull = (field: string): string | null => (value[field] === null ? null : String(value[field]))
  return {
    inputId: String(value.input_id),
    service: String(value.service),
    pulledAt: Number(value.pulled_at),
    environment: textOrNull('environment'),
    ...(from !== null && { window: { from: Number(from), to: Number(to) } }),
    output: textOrNull('output'),
    reason: String(value.reason),
    at: Number(value.at),
    size: Number(value.size),
    fingerprint: bytes(value.fingerprint),
    event: bytes(value.event),
  }
}
const LETTER: DeadLetter = {
  inputId: '12345', service: 'clicksBlocked', pulledAt: 1, environment: null, output: 'devo_1', reason: 'too large', at: 2, size: 3,
  fingerprint: new Uint8Array(16), event: Buffer.from('{"a'),
}

test.each(vectorsOf('dead-letter'))('is written and read as another implementation does: output $value.output', (vector) => {
  expect(hex(encodeDeadLetter(letterOf(vector)))).toBe(vector.record)
  expect(decodeDeadLetter(bytes(vector.record))).toEqual(letterOf(vector))
})

test('comes back as it was, whatever it holds', () => {
  const text = fc.string({ unit: 'binary' })
  const part = fc.uint8Array({ maxLength: 300 }).map((view) => Buffer.from(view))
  const letters = fc.record({
    inputId: text, service: text, pulledAt: anyTime, environment: fc.option(text), output: fc.option(text), reason: text, at: anyTime,
    size: fc.nat(), fingerprint: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((view) => Buffer.from(view)), event: part,
  })
  fc.assert(
    fc.property(letters, (letter) => {
      expect(decodeDeadLetter(encodeDeadLetter(letter))).toEqual(letter)
    }),
  )
})

test('half a surrogate pair in a reason does not become bytes that others cannot read', () => {
  const record = encodeDeadLetter({ ...LETTER, reason: 'before \ud83d after' })
  expect(decodeDeadLetter(record).reason).toBe('before \ufffd after')
  expect(record.includes(Buffer.from('before \ufffd after'))).toBe(true)
})

test('that is no dead letter says so', () => {
  const record = encodeDeadLetter(LETTER)
  for (let length = 0; length < record.length; length += 1) {
    expect(() => decodeDeadLetter(record.subarray(0, length)), String(length)).toThrow(UndecodableRecordError)
  }
  expect(() => decodeDeadLetter(bytes(vectorsOf('tap-event')[0]?.record))).toThrow('a newer version')
})

test('the schema may gain a field: this version reads what the next writes, and the next what this one wrote', () => {
  const current = readSchema('dead-letter') as avsc.schema.RecordType // a record, see the file
  const next = { ...current, fields: [...current.fields, { name: 'attempts', type: 'int', default: 0 }] }
  const nextCodec = new SingleObjectCodec(next, [current])
  expect(nextCodec.decode(encodeDeadLetter(LETTER))).toMatchObject({ reason: 'too large', attempts: 0 })
  const byNext = nextCodec.encode({ ...Object(deadLetterCodec.decode(encodeDeadLetter(LETTER))), attempts: 3 })
  const byThis = new SingleObjectCodec(current, [next]).decode(byNext)
  expect(byThis).toEqual(deadLetterCodec.decode(encodeDeadLetter(LETTER)))
})
