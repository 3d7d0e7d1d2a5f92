import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import avsc from 'avsc'
import { expect, onTestFinished, test } from 'vitest'
import { crc64Avro, HEADER_BYTES, readSchema, SingleObjectCodec, UndecodableRecordError } from '../../../src/buffers/kafka/single-object.ts'
import { headers, versions } from './vectors/vectors.ts'

const POINT = { type: 'record', name: 'Point', fields: [{ name: 'x', type: 'int' }] } satisfies avsc.Schema
const POINT_3D = { ...POINT, fields: [...POINT.fields, { name: 'z', type: 'int', default: 7 }] } satisfies avsc.Schema

test('the checksum is that of the specification', () => {
  expect(crc64Avro(new Uint8Array())).toBe(0xc15d213aa4d7a795n)
  // From the table of test schemas that comes with Avro.
  expect(crc64Avro(Buffer.from('"null"'))).toBe(7195948357588979594n)
  expect(crc64Avro(Buffer.from('"int"'))).toBe(8247732601305521295n)
})

test.each([...headers, { schema: versions.former.schema, header: versions.former.record.slice(0, 20) }])(
  'a schema has the header that another implementation gives it: $header',
  ({ schema, header }) => {
    expect(new SingleObjectCodec(schema).header.toString('hex')).toBe(header)
  },
)

test('both sides of a new field with a default read each other, once they know the other schema', () => {
  const older = new SingleObjectCodec(POINT, [POINT_3D])
  const newer = new SingleObjectCodec(POINT_3D, [POINT])
  expect(newer.decode(older.encode({ x: 1 }))).toEqual({ x: 1, z: 7 })
  expect(older.decode(newer.encode({ x: 1, z: 2 }))).toEqual({ x: 1 })
})

test('what an unknown schema has written is told apart from what is no Avro at all', () => {
  const record = new SingleObjectCodec(POINT_3D).encode({ x: 1, z: 2 })
  const codec = new SingleObjectCodec(POINT)
  const crc = record.toString('hex', 2, HEADER_BYTES)
  const unknown = `written with a schema that is not known here (${crc}); a newer version may read it`
  expect(() => codec.decode(record)).toThrow(new UndecodableRecordError(unknown))
  for (const other of [Buffer.alloc(0), record.subarray(0, HEADER_BYTES - 1), Buffer.from('{"a":1,"b":2}')])
    expect(() => codec.decode(other)).toThrow(new UndecodableRecordError('not in Avro single-object encoding'))
  const cut = codec.encode({ x: 5000 }).subarray(0, -1)
  expect(() => codec.decode(cut)).toThrow(new UndecodableRecordError('not a value of its schema Point'))
})

test('a length without an end is refused, and what is read afterwards is whole', () => {
  const codec = new SingleObjectCodec({ type: 'record', name: 'Text', fields: [{ name: 'bytes', type: 'bytes' }] })
  const good = codec.encode({ bytes: Buffer.from('event') })
  const endless = Buffer.concat([codec.header, Buffer.alloc(300, 0x80)])
  expect(() => codec.decode(endless)).toThrow(new UndecodableRecordError('not a value of its schema Text'))
  expect(codec.decode(good)).toEqual({ bytes: Buffer.from('event') })
})

test('a writer schema that cannot become the one that is read is refused at once', () => {
  expect(() => new SingleObjectCodec(POINT, [{ ...POINT, fields: [{ name: 'x', type: 'string' }] }])).toThrow('int')
})

test('the schemas are found from the built package as from the sources', () => {
  const root = fileURLToPath(new URL('../../../', import.meta.url))
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly files: readonly string[] } // npm's own file
  expect(manifest.files).toEqual(expect.arrayContaining(['dist', 'schemas']))

  // As npm would unpack it, but for what the build has not to do with.
  const folder = mkdtempSync(join(tmpdir(), 'tap-schemas-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  cpSync(join(root, 'schemas'), join(folder, 'schemas'), { recursive: true })
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const built = join(folder, 'dist/buffers/kafka/single-object.js')
  mkdirSync(join(folder, 'src/buffers/kafka'), { recursive: true })
  copyFileSync(join(root, 'src/buffers/kafka/single-object.ts'), join(folder, 'src/buffers/kafka/single-object.ts'))
  copyFileSync(join(root, 'tsconfig.json'), join(folder, 'tsconfig.json'))
  copyFileSync(join(root, 'tsconfig.build.json'), join(folder, 'tsconfig.build.json'))
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], { cwd: folder })
  expect(existsSync(built)).toBe(true)
  const script = `import { readSchema } from ${JSON.stringify(built)}; console.log(JSON.stringify(readSchema('tap-event')))`
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: tmpdir(), encoding: 'utf8' })
  expect(JSON.parse(printed)).toEqual(readSchema('tap-event'))
})
