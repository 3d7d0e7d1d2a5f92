import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import avsc from 'avsc'

/** A record whose bytes are no value of a schema that is known here. */
export class UndecodableRecordError extends Error {
  override readonly name = 'UndecodableRecordError'
}

interface Tap {
  readonly buf: Buffer
  pos: number
}

/**
 * avsc takes the bytes of all values out of one pool. A length with no end becomes no number at all, which breaks the pool for good: from then
 * on the events of good records would be empty. So nothing is taken from the pool before it is known to be there. avsc is pinned exactly.
 */
function keepPoolWhole(): void {
  // What this file of 5.7.9 exports, as far as it is used; a test feeds it such a length.
  const { Tap } = createRequire(import.meta.url)('avsc/lib/utils') as { readonly Tap: { readonly prototype: { readFixed: (this: Tap, length: number) => Buffer | undefined } } }
  const { readFixed } = Tap.prototype
  Tap.prototype.readFixed = function (length) {
    if (this.pos + length <= this.buf.length) return readFixed.call(this, length)
    this.pos = Infinity
    return undefined
  }
}
keepPoolWhole()

const MARKER = Buffer.from([0xc3, 0x01])
export const HEADER_BYTES = 10
const EMPTY = 0xc15d213aa4d7a795n
const TABLE = BigUint64Array.from({ length: 256 }, (_, index) => {
  let fingerprint = BigInt(index)
  for (let bit = 0; bit < 8; bit += 1) fingerprint = (fingerprint >> 1n) ^ (EMPTY & -(fingerprint & 1n))
  return BigInt.asUintN(64, fingerprint)
})

/** CRC-64-AVRO of the Avro specification; of a schema it is taken over the parsing canonical form. */
export function crc64Avro(bytes: Uint8Array): bigint {
  let fingerprint = EMPTY
  for (const byte of bytes) fingerprint = (fingerprint >> 8n) ^ (TABLE[Number((fingerprint ^ BigInt(byte)) & 0xffn)] ?? 0n)
  return fingerprint
}

/**
 * Avro's single-object encoding: `C3 01`, the writer schema's CRC-64-AVRO (little-endian), the body. Reads what any of the given schemas
 * has written, resolved to the first, which is the one that it writes. Throws at once on schemas that cannot be resolved to it.
 */
export class SingleObjectCodec {
  readonly type: avsc.Type
  /** The ten bytes before every body that is written here. */
  readonly header: Buffer
  readonly #resolvers = new Map<string, avsc.Resolver | null>()

  constructor(current: avsc.Schema, others: readonly avsc.Schema[] = []) {
    this.type = typeOf(current)
    this.header = headerOf(this.type)
    this.#resolvers.set(this.header.toString('latin1'), null)
    for (const schema of others) {
      const type = typeOf(schema)
      this.#resolvers.set(headerOf(type).toString('latin1'), this.type.createResolver(type))
    }
  }

  encode(value: unknown): Buffer {
    return Buffer.concat([this.header, this.type.toBuffer(value)])
  }

  /** Throws UndecodableRecordError. */
  decode(bytes: Buffer): unknown {
    const resolver = this.#resolvers.get(bytes.toString('latin1', 0, HEADER_BYTES))
    if (resolver === undefined) throw unknownHeader(bytes)
    try {
      const body = bytes.subarray(HEADER_BYTES)
      return resolver === null ? this.type.fromBuffer(body) : this.type.fromBuffer(body, resolver)
    } catch {
      // What avsc says of it helps nobody.
      throw new UndecodableRecordError(`not a value of its schema ${this.type.name ?? ''}`)
    }
  }
}

/** A schema of `schemas/`, beside both `src/` and `dist/`. */
export function readSchema(name: string): avsc.Schema {
  // What is in the package is an Avro schema; avsc says so otherwise.
  return JSON.parse(readFileSync(new URL(`../../../schemas/${name}.avsc`, import.meta.url), 'utf8')) as avsc.Schema
}

function typeOf(schema: avsc.Schema): avsc.Type {
  return avsc.Type.forSchema(schema)
}

function headerOf(type: avsc.Type): Buffer {
  const fingerprint = Buffer.alloc(8)
  // Without attributes, what avsc gives of a type is its parsing canonical form.
  fingerprint.writeBigUInt64LE(crc64Avro(Buffer.from(JSON.stringify(type.schema()))))
  return Buffer.concat([MARKER, fingerprint])
}

function unknownHeader(bytes: Buffer): UndecodableRecordError {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, MARKER.length).equals(MARKER)) {
    return new UndecodableRecordError('not in Avro single-object encoding')
  }
  const crc = bytes.toString('hex', MARKER.length, HEADER_BYTES)
  return new UndecodableRecordError(`written with a schema that is not known here (${crc}); a newer version may read it`)
}
