import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readSchema, SingleObjectCodec, UndecodableRecordError } from '../../../src/buffers/kafka/single-object.ts'
import { decodeTapEvent, eventKey, tapEventCodec, tapEventDecoder, tapEventEncoder } from '../../../src/buffers/kafka/tap-event.ts'
import type { DecodedTapEvent } from '../../../src/buffers/kafka/tap-event.ts'
import type { Pull } from '../../../src/pipeline/event.ts'
import type { Window } from '../../../src/pipeline/unit.ts'
import { anyTime, bytes, hex, vectorsOf, versions, type Vector } from './vectors/vectors.ts'

const PULL: Pull = { inputId: '12345', service: 'clicksBlocked', pulledAt: 1_764_000_000_123, environment: null }
const WINDOW: Window = { from: 1_763_999_700_000, to: 1_764_000_000_000 }
const FINGERPRINT = Uint8Array.from({ length: 16 }, (_, index) => index)
const encode = tapEventEncoder(PULL, WINDOW)

const pullOf = ({ value }: Vector): Pull => ({
  inputId: String(value.input_id),
  service: String(value.service),
  pulledAt: Number(value.pulled_at),
  environment: value.environment === null ? null : String(value.environment),
})

const windowOf = ({ value }: Vector): Window => ({ from: Number(value.window_from), to: Number(value.window_to) })

const shown = ({ pull, window, fingerprint, event }: DecodedTapEvent): unknown => ({ pull, window, fingerprint: hex(fingerprint), event: hex(event) })

/** What avsc itself writes. */
function encodedByAvsc(pull: Pull, { from, to }: Window, fingerprint: Uint8Array, event: Uint8Array): Buffer {
  const { inputId, service, pulledAt, environment } = pull
  const value = { input_id: inputId, service, pulled_at: pulledAt, window_from: from, window_to: to, environment }
  return tapEventCodec.encode({ ...value, fingerprint: Buffer.from(fingerprint), event: Buffer.from(event) })
}

describe('an event', () => {
  test.each(vectorsOf('tap-event'))('is written and read as another implementation does: $value.event', (vector) => {
    const { value, record } = vector
    const encodeOne = tapEventEncoder(pullOf(vector), windowOf(vector))
    expect(hex(encodeOne(bytes(value.fingerprint), bytes(value.event)))).toBe(record)
    const decode = tapEventDecoder(tapEventCodec)
    // Twice: the second is read by what the first has left.
    for (let time = 0; time < 2; time += 1) {
      expect(shown(decode(bytes(record)))).toEqual({ pull: pullOf(vector), window: windowOf(vector), fingerprint: value.fingerprint, event: value.event })
    }
  })

  test('comes back byte for byte, whatever it is, in the bytes that avsc writes', () => {
    const text = fc.string({ unit: 'binary', maxLength: 100 })
    const pulls = fc.record({ inputId: text, service: text, pulledAt: anyTime, environment: fc.option(text) })
    const windows = fc.record({ from: anyTime, to: anyTime })
    const event = fc.tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.uint8Array({ maxLength: 200 }))
    const chunk = fc.tuple(pulls, windows, fc.array(event, { minLength: 1, maxLength: 4 }))
    fc.assert(
      fc.property(fc.array(chunk, { minLength: 1, maxLength: 3 }), (chunks) => {
        for (const [pull, window, written] of chunks) {
          const encodeOne = tapEventEncoder(pull, window)
          for (const [fingerprint, event] of written) {
            const record = encodeOne(fingerprint, event)
            expect(hex(record)).toBe(hex(encodedByAvsc(pull, window, fingerprint, event)))
            expect(shown(decodeTapEvent(record))).toEqual(shown({ pull, window, fingerprint, event }))
          }
        }
      }),
    )
  })

  // Around where the length itself takes one byte more.
  test.each([0, 1, 63, 64, 8191, 8192, 1_048_575, 1_048_576, 9_000_000])('of %i bytes is written as avsc does', (length) => {
    const event = Buffer.alloc(length, 'x')
    const record = encode(FINGERPRINT, event)
    expect(record.equals(encodedByAvsc(PULL, WINDOW, FINGERPRINT, event))).toBe(true)
    for (let time = 0; time < 2; time += 1) expect(event.equals(decodeTapEvent(record).event)).toBe(true)
  })

  test('is read without a copy, and its pull is the same object as its neighbour\'s', () => {
    const first = encode(FINGERPRINT, Buffer.from('{"a":1}'))
    const second = encode(new Uint8Array(16), Buffer.from('{"b":22}'))
    const decode = tapEventDecoder(tapEventCodec)
    const [one, two] = [decode(first), decode(second)]
    expect(two.pull).toBe(one.pull)
    expect(one.event.buffer).toBe(first.buffer)
    expect(two.fingerprint.buffer).toBe(second.buffer)
    const ofAnother = tapEventEncoder({ ...PULL, service: 'clicksPermitted' }, WINDOW)(FINGERPRINT, Buffer.from('{}'))
    expect(decode(ofAnother).pull.service).toBe('clicksPermitted')
  })

  test('with half a surrogate pair in its metadata can be read by others', () => {
    const record = tapEventEncoder({ ...PULL, inputId: 'a\ud83d', environment: '\udc00b' }, WINDOW)(FINGERPRINT, Buffer.from('{}'))
    expect(decodeTapEvent(record).pull).toMatchObject({ inputId: 'a\ufffd', environment: '\ufffdb' })
    expect(record.includes(Buffer.from('\ufffdb'))).toBe(true)
  })

  test('whose fingerprint has not 16 bytes is a mistake', () => {
    expect(() => encode(new Uint8Array(15), Buffer.from('{}'))).toThrow(RangeError)
  })

  test('has the key that is documented', () => {
    expect(eventKey('12345', 'clicksBlocked', FINGERPRINT).toString()).toBe('12345/clicksBlocked/000102030405060708090a0b0c0d0e0f')
    const view = Buffer.concat([Buffer.alloc(3), FINGERPRINT]).subarray(3)
    expect(eventKey('1', 's', view).toString()).toBe('1/s/000102030405060708090a0b0c0d0e0f')
  })
})

describe('a record that is no event', () => {
  test('is told apart, also where an event was read before it', () => {
    const record = encode(FINGERPRINT, Buffer.from('{"a":1}'))
    decodeTapEvent(record)
    for (let length = 0; length < record.length; length += 1) {
      expect(() => decodeTapEvent(record.subarray(0, length)), String(length)).toThrow(UndecodableRecordError)
    }
    expect(() => decodeTapEvent(Buffer.concat([record, Buffer.from([0])]))).toThrow(UndecodableRecordError)
    expect(() => decodeTapEvent(bytes(vectorsOf('dead-letter')[0]?.record))).toThrow('a newer version')
    expect(Buffer.from(decodeTapEvent(record).event).toString()).toBe('{"a":1}')
  })

  test('is never read as more or other than avsc reads, wherever a byte is wrong or behind the header stands anything', () => {
    const record = encode(FINGERPRINT, Buffer.from('{"a":1}'))
    const wrong = fc.tuple(fc.nat(record.length - 1), fc.nat(255)).map(([at, byte]) => Buffer.from(record).fill(byte, at, at + 1))
    const noise = fc.uint8Array().map((tail) => Buffer.concat([tapEventCodec.header, tail]))
    const outcome = (read: () => unknown): unknown => {
      try {
        return read()
      } catch (error) {
        expect(error).toBeInstanceOf(UndecodableRecordError)
        return 'undecodable'
      }
    }
    fc.assert(
      fc.property(fc.oneof(wrong, noise), (bad) => {
        decodeTapEvent(record)
        const expected = outcome(() => tapEventCodec.decode(bad))
        const found = outcome(() => {
          const { pull, fingerprint, event } = decodeTapEvent(bad)
          const { inputId, service, pulledAt, environment } = pull
          const views = { fingerprint: Buffer.from(fingerprint), event: Buffer.from(event) }
          return { input_id: inputId, service, pulled_at: pulledAt, environment, ...views }
        })
        if (expected === 'undecodable') expect(found).toBe(expected)
        else expect(expected).toMatchObject(Object(found))
      }),
      { numRuns: 2000 },
    )
  })

  test('is not seen in a length that another writer has spent more bytes on', () => {
    const decode = tapEventDecoder(tapEventCodec)
    for (const event of ['', '{"a":1}']) {
      const record = encode(FINGERPRINT, Buffer.from(event))
      const at = record.length - event.length - 1
      const longer = Buffer.concat([record.subarray(0, at), Buffer.from([(record[at] ?? 0) | 0x80, 0]), record.subarray(at + 1)])
      for (const each of [longer, record, longer]) {
        const decoded = decode(each)
        expect(decoded).toMatchObject({ pull: PULL, fingerprint: Buffer.from(FINGERPRINT) })
        expect(Buffer.from(decoded.event).toString()).toBe(event)
      }
    }
  })
})

describe('another version of the schema', () => {
  const current = readSchema('tap-event')
  const { former, later } = versions
  const record = bytes(vectorsOf('tap-event')[0]?.record)
  const pull = decodeTapEvent(record).pull
  const event = '{"n":12345678901234567890,"x":0.0}'

  test('is read by this one, mixed with its own, once it is known', () => {
    const decode = tapEventDecoder(new SingleObjectCodec(current, [former.schema, later.schema]))
    const own = [record, null] as const
    for (const [written, environment] of [own, [bytes(former.record), null], own, [bytes(later.record), 'prod'], own] as const) {
      const decoded = decode(written)
      expect(decoded.pull).toEqual({ ...pull, environment })
      expect(Buffer.from(decoded.event).toString()).toBe(event)
      expect(hex(decoded.fingerprint)).toBe(hex(FINGERPRINT))
    }
  })

  test('reads what this one wrote', () => {
    expect(new SingleObjectCodec(later.schema, [current]).decode(record)).toMatchObject({ event: Buffer.from(event), attempts: 0 })
    expect(new SingleObjectCodec(former.schema, [current]).decode(record)).not.toHaveProperty('environment')
  })

  test('that is not known is told by its checksum', () => {
    expect(() => decodeTapEvent(bytes(later.record))).toThrow(UndecodableRecordError)
    expect(() => decodeTapEvent(bytes(later.record))).toThrow(later.record.slice(4, 20))
  })
})
