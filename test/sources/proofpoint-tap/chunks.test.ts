import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { CHUNK_MAX_BYTES, CHUNK_MAX_EVENTS, countEvents, eventsOf } from '../../../src/pipeline/event.ts'
import { UNIT_MAX_BYTES, UNIT_MAX_EVENTS } from '../../../src/pipeline/unit.ts'
import { dataView } from '../../../src/sources/proofpoint-tap/bytes.ts'
import { PartBuilder, type ResponsePart } from '../../../src/sources/proofpoint-tap/chunks.ts'
import { FingerprintTable } from '../../../src/sources/proofpoint-tap/fingerprints.ts'
import { HOUR, linesOf, pullOf, split16 } from './response-support.ts'

function begin(): { builder: PartBuilder; seen: FingerprintTable } {
  const seen = new FingerprintTable()
  seen.beginResponse(HOUR)
  return { builder: new PartBuilder('a', { pull: pullOf('a'), seen }), seen }
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('binary')

function add(builder: PartBuilder, event: string): boolean {
  const bytes = Uint8Array.from(Buffer.from(`xx${event}x`))
  return builder.addEvent(digestOf(event), bytes, dataView(bytes), 2, bytes.length - 1)
}

function taken(builder: PartBuilder): ResponsePart {
  const part = builder.take()
  if (part === null) throw new Error('nothing to take')
  return part
}

const eventOf = (n: number, length = 20): string => `{"n":${n},"x":"`.padEnd(length - 2, 'x') + '"}'

describe('PartBuilder', () => {
  it('packs events into chunks of at most 100, each in memory of exactly its size', () => {
    const { builder } = begin()
    const events = Array.from({ length: 250 }, (_, n) => eventOf(n))
    for (const event of events) expect(add(builder, event)).toBe(true)
    const part = taken(builder)
    expect(part.chunks.map(countEvents)).toEqual([CHUNK_MAX_EVENTS, CHUNK_MAX_EVENTS, 50])
    expect(linesOf([part])).toEqual(events)
    expect(part.events).toBe(250)
    for (const { lines, fingerprints } of part.chunks) {
      expect([lines.byteOffset, lines.buffer.byteLength]).toEqual([0, lines.length])
      expect([fingerprints.byteOffset, fingerprints.buffer.byteLength]).toEqual([0, fingerprints.length])
      expect(lines.at(-1)).toBe(0x0a)
    }
    expect(part.chunks.flatMap(({ fingerprints }) => split16(fingerprints))).toEqual(split16(part.fingerprints))
    expect(split16(part.fingerprints)).toEqual(events.map((event) => Buffer.from(digestOf(event), 'binary').toString('hex').slice(0, 32)))
    expect(builder.take()).toBeNull()
  })

  it('keeps chunks within 256 KiB, but for an event that is larger by itself', () => {
    const { builder } = begin()
    const lengths = [100_000, 100_000, CHUNK_MAX_BYTES - 200_002 - 1, 10, CHUNK_MAX_BYTES - 1, CHUNK_MAX_BYTES, 3_000_000, 20]
    const events = lengths.map((length, n) => eventOf(n, Math.max(length, 20)))
    for (const event of events) add(builder, event)
    const { chunks } = taken(builder)
    expect(chunks.map(countEvents)).toEqual([3, 1, 1, 1, 1, 1])
    expect(chunks.map(({ lines }) => lines.length)).toEqual([CHUNK_MAX_BYTES, 21, CHUNK_MAX_BYTES, CHUNK_MAX_BYTES + 1, 3_000_001, 21])
    expect(chunks.flatMap((chunk) => [...eventsOf(chunk)].map((event) => Buffer.from(event).toString()))).toEqual(events)
  })

  it('does not let a chunk be larger by a single byte', () => {
    const { builder } = begin()
    add(builder, eventOf(0, 100_000))
    add(builder, eventOf(1, CHUNK_MAX_BYTES - 100_001))
    expect(taken(builder).chunks.map(({ lines }) => lines.length)).toEqual([100_001, CHUNK_MAX_BYTES - 100_000])
  })

  it('is full at the events of a unit', () => {
    const { builder } = begin()
    for (let n = 0; n < UNIT_MAX_EVENTS; n += 1) {
      expect(builder.hasRoomFor(20)).toBe(true)
      add(builder, eventOf(n))
    }
    expect(builder.hasRoomFor(20)).toBe(false)
    expect(taken(builder).events).toBe(UNIT_MAX_EVENTS)
    expect(builder.hasRoomFor(20)).toBe(true)
  })

  it('is full at the bytes of a unit, but always takes a first event', () => {
    const { builder } = begin()
    expect(builder.hasRoomFor(2 * UNIT_MAX_BYTES)).toBe(true)
    add(builder, eventOf(0, 1_000_000))
    builder.addDeadLetter(digestOf('d'), new Uint8Array(1_000_000), 1_000_000, 'reason', 0)
    const left = UNIT_MAX_BYTES - 2_000_001
    expect(builder.hasRoomFor(left - 1)).toBe(true)
    expect(builder.hasRoomFor(left)).toBe(false)
  })

  it('leaves out what was seen before', () => {
    const { builder, seen } = begin()
    add(builder, eventOf(1))
    builder.addDeadLetter(digestOf('d'), new Uint8Array(3), 3, 'reason', 0)
    taken(builder)
    seen.beginResponse(HOUR)
    expect(add(builder, eventOf(1))).toBe(false)
    expect(builder.addDeadLetter(digestOf('d'), new Uint8Array(3), 3, 'reason', 0)).toBe(false)
    expect(builder.take()).toBeNull()
    expect(add(builder, eventOf(2))).toBe(true)
    expect(linesOf([taken(builder)])).toEqual([eventOf(2)])
  })

  it('carries dead letters with their own copy of the bytes and with their fingerprints', () => {
    const { builder } = begin()
    const bytes = Uint8Array.from(Buffer.from('...5...'))
    add(builder, eventOf(1))
    builder.addDeadLetter(digestOf('5'), bytes.subarray(3, 4), 1, 'not an object', 99)
    add(builder, eventOf(2))
    bytes.fill(0)
    const part = taken(builder)
    const fingerprint = Buffer.from(digestOf('5'), 'binary').subarray(0, 16)
    expect(part.deadLetters).toEqual([{ ...pullOf('a'), output: null, reason: 'not an object', at: 99, event: Uint8Array.of(0x35), size: 1, fingerprint: Uint8Array.from(fingerprint) }])
    expect(part.deadLetters[0]?.event.buffer.byteLength).toBe(1)
    expect(linesOf([part])).toEqual([eventOf(1), eventOf(2)])
    expect(split16(part.fingerprints)).toHaveLength(3)
    expect(split16(part.fingerprints)[2]).toBe(fingerprint.toString('hex'))
  })

  it('unlearns what was not taken, and nothing else', () => {
    const { builder, seen } = begin()
    add(builder, eventOf(1))
    taken(builder)
    add(builder, eventOf(2))
    builder.addDeadLetter(digestOf('d'), new Uint8Array(3), 3, 'reason', 0)
    expect(seen.size).toBe(3)
    builder.abandon()
    expect(seen.size).toBe(1)
    seen.beginResponse(HOUR)
    expect([add(builder, eventOf(1)), add(builder, eventOf(2))]).toEqual([false, true])
    builder.abandon()
    builder.abandon()
    expect(seen.size).toBe(1)
  })
})
