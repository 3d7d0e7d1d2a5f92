import { readFileSync } from 'node:fs'
import avsc from 'avsc'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeDeadLetter, deadLetterCodec, encodeDeadLetter } from '../../../src/buffers/kafka/dead-letter.ts'
import { crc64Avro, readSchema, SingleObjectCodec, UndecodableRecordError } from '../../../src/buffers/kafka/single-object.ts'
import { decodeTapEvent, eventKey, tapEventCodec, tapEventEncoder } from '../../../src/buffers/kafka/tap-event.ts'

interface Vector {
  readonly schema: 'tap-event' | 'dead-letter'
  readonly value: Readonly<Record<string, string | number | null>>
  readonly record: string
}

// Made by vectors/make.py.
const VECTORS = JSON.parse(readFileSync(new URL('vectors/vectors.json', import.meta.url), 'utf8')) as readonly Vector[]
const text = (value: unknown): string => String(value)
const bytes = (hex: unknown): Buffer => Buffer.from(text(hex), 'hex')

describe('single-object encoding', () => {
  test.each(VECTORS.filter(({ schema }) => schema === 'tap-event'))('writes and reads an event as another implementation does', ({ value, record }) => {
    const environment = value.environment === null ? null : text(value.environment)
    const pull = { inputId: text(value.input_id), service: text(value.service), pulledAt: Number(value.pulled_at), environment }
    const encode = tapEventEncoder(pull, { from: Number(value.window_from), to: Number(value.window_to) })
    expect(encode(bytes(value.fingerprint), bytes(value.event)).toString('hex')).toBe(record)
    // Twice: the second is read by what the first has left.
    for (let time = 0; time < 2; time += 1) {
      const decoded = decodeTapEvent(bytes(record))
      expect(decoded.pull).toEqual(pull)
      expect(Buffer.from(decoded.fingerprint).toString('hex')).toBe(value.fingerprint)
      expect(Buffer.from(decoded.event).toString('hex')).toBe(value.event)
    }
  })

  test.each(VECTORS.filter(({ schema }) => schema === 'dead-letter'))('writes and reads a dead letter as another implementation does', ({ record }) => {
    const letter = decodeDeadLetter(bytes(record))
    expect(letter).toMatchObject({ inputId: '12345', reason: 'too large', size: 9_000_000, at: 1_764_000_000_999 })
    expect(encodeDeadLetter(letter).toString('hex')).toBe(record)
  })

  test('the checksum of nothing is that of the specification', () => {
    expect(crc64Avro(new Uint8Array())).toBe(0xc15d213aa4d7a795n)
  })
})

describe('an event', () => {
  test('comes back byte for byte, whatever it is, and the plain encoder writes what avsc writes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 400 }), fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.string(), fc.option(fc.string()), fc.integer(), fc.boolean(),
        (event, fingerprint, inputId, environment, time, again) => {
          const pull = { inputId, service: 's', pulledAt: time, environment }
          const record = tapEventEncoder(pull, { from: time, to: time + 1 })(fingerprint, event)
          expect(record.toString('hex')).toBe(
            tapEventCodec
              .encode({
                input_id: inputId, service: 's', pulled_at: time, window_from: time, window_to: time + 1, environment,
                fingerprint: Buffer.from(fingerprint), event: Buffer.from(event),
              })
              .toString('hex'),
          )
          if (again) decodeTapEvent(record)
          const decoded = decodeTapEvent(record)
          expect(decoded.pull).toEqual(pull)
          expect(Buffer.from(decoded.event).equals(Buffer.from(event))).toBe(true)
          expect(Buffer.from(decoded.fingerprint).equals(Buffer.from(fingerprint))).toBe(true)
        },
      ),
    )
  })

  test('that is cut, or is something else, is told apart and never read as another', () => {
    const record = tapEventEncoder({ inputId: 'i', service: 's', pulledAt: 1, environment: null }, { from: 1, to: 2 })(new Uint8Array(16), Buffer.from('{"a":1}'))
    decodeTapEvent(record)
    for (let length = 0; length < record.length; length += 1) expect(() => decodeTapEvent(record.subarray(0, length)), String(length)).toThrow(UndecodableRecordError)
    expect(() => decodeTapEvent(Buffer.concat([record, Buffer.from([0])]))).toThrow(UndecodableRecordError)
    fc.assert(
      fc.property(fc.uint8Array(), (noise) => {
        expect(() => decodeTapEvent(Buffer.from(noise))).toThrow(UndecodableRecordError)
      }),
    )
    expect(() => decodeTapEvent(encodeDeadLetter(decodeDeadLetter(bytes(VECTORS.at(-1)?.record))))).toThrow('a newer version')
  })

  test('has the key that is documented', () => {
    expect(eventKey('12345', 'clicksBlocked', Uint8Array.from({ length: 16 }, (_, index) => index)).toString()).toBe('12345/clicksBlocked/000102030405060708090a0b0c0d0e0f')
  })
})

test('a schema may gain a field: this version reads what the next writes, and the next what this one wrote', () => {
  const current = readSchema('dead-letter') as avsc.schema.RecordType // a record, see the file
  const next = { ...current, fields: [...current.fields, { name: 'attempts', type: 'int', default: 0 }] }
  const letter = decodeDeadLetter(bytes(VECTORS.at(-1)?.record))
  const nextCodec = new SingleObjectCodec(next, [current])
  expect(nextCodec.decode(encodeDeadLetter(letter))).toMatchObject({ reason: 'too large', attempts: 0 })
  const byNext = nextCodec.encode({ ...Object(deadLetterCodec.decode(encodeDeadLetter(letter))), attempts: 3 })
  const knowsNext = new SingleObjectCodec(current, [next])
  expect(knowsNext.decode(byNext)).toMatchObject({ reason: 'too large', size: 9_000_000 })
  expect(knowsNext.decode(byNext)).not.toHaveProperty('attempts')
})
